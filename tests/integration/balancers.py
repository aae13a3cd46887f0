"""HAProxy and nginx as the project's own files set them up, before two ingress processes."""

import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager
from functools import partial

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import HTTPAdapter

from deploy import fleet
from deploy.demo.surroundings import environment_of
from shared.lifeline import die_with_parent

NAMES = ("haproxy", "nginx")
STARTING = 60  # s
_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/ringpost.conf;
}}
"""


def is_there(name):
    return _program(name) is not None


def _program(name):
    """Debian keeps both where ordinary users do not look."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def certify(folder):
    """A certificate for this machine, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, content in {"ringpost.pem": public, "ringpost.key": secret, "both.pem": public + secret}.items():
        (folder / file).write_bytes(content)
    return folder / "ringpost.pem"


def commands_of(name, folder, port, ports):
    """How to check and how to run the balancer. Its file is written anew, with the test's ports, paths and user."""
    replaced = {"127.0.0.1:5678": f"127.0.0.1:{ports[0]}", "127.0.0.1:5679": f"127.0.0.1:{ports[1]}"}
    if name == "haproxy":
        replaced |= {
            "bind :443 ssl crt /etc/haproxy/ringpost.pem": f"bind 127.0.0.1:{port} ssl crt {folder}/both.pem",
            "/run/haproxy/admin.sock": f"{folder}/admin.sock",
            "log /dev/log local0": "log stderr format raw local0",
            "    user haproxy\n    group haproxy\n": "",
            "maxconn 8000": "maxconn 200",
        }
        path = _written("deploy/haproxy.cfg", folder / "haproxy.cfg", replaced)
        run = [_program(name), "-db", "-f", path]
        return [*run, "-c"], run
    replaced |= {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/ringpost.pem": f"{folder}/ringpost.pem",
        "/etc/ssl/ringpost.key": f"{folder}/ringpost.key",
    }
    _written("deploy/nginx.conf", folder / "ringpost.conf", replaced)
    main = folder / "nginx.conf"
    main.write_text(_NGINX.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    run = [_program(name), "-e", "stderr", "-p", folder, "-c", main]
    return [*run, "-t"], run


def _written(source, path, replaced):
    text = (fleet.PROJECT / source).read_text()
    for what, by in replaced.items():
        assert what in text, f"{source} has no {what!r} any more"
        text = text.replace(what, by)
    path.write_text(text)
    return path


@contextmanager
def ingress(settings, **changes):
    """One ingress process as the Procfile runs it; its URL and its handle."""
    port = fleet.free_port("127.0.0.1")
    known = environment_of(settings) | {"PORT": str(port), "TRUSTED_PROXIES": "1", "WEB_CONCURRENCY": "1"} | changes
    command = ["/bin/sh", "-c", f"exec {fleet.commands()['web']}"]
    process = subprocess.Popen(
        command,
        env=os.environ | known | fleet.program_paths(),
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509, it takes no lock
    )
    try:
        until(lambda: requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok)
        yield port, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def balancer(name, folder, ports):
    """The balancer before those ports; what talks to it from any address of this machine."""
    certificate, port = certify(folder), fleet.free_port("127.0.0.1")
    check, run = commands_of(name, folder, port, ports)
    checked = subprocess.run(check, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn" not in checked.stderr.lower(), checked.stderr
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            run,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509, it takes no lock
        )
    client = Client(f"https://127.0.0.1:{port}", certificate)
    try:
        until(lambda: client.get("/healthz").ok)
        yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Client:
    """Requests to a balancer, from any of this machine's addresses."""

    def __init__(self, url, certificate):
        self._url, self._certificate = url, certificate

    def session(self, address="127.0.0.1"):
        session = requests.Session()
        session.trust_env = False  # it may name certificates of its own, which come first
        session.verify = str(self._certificate)
        session.mount("https://", _From(address))
        return session

    def get(self, path, **options):
        with self.session() as session:
            return session.get(self._url + path, timeout=40, **options)

    def post(self, path, address="127.0.0.1", **options):
        with self.session(address) as session:
            return session.post(self._url + path, timeout=10, **options)

    @contextmanager
    def unfinished(self, count, address):
        """So many requests at once whose bodies never come, each on a connection of its own."""
        context = ssl.create_default_context(cafile=self._certificate)
        host, port = self._url.removeprefix("https://").split(":")
        head = f"POST /api/make-call HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n".encode()
        with ExitStack() as held:
            for _ in range(count):
                plain = held.enter_context(socket.create_connection((host, int(port)), 10, (address, 0)))
                held.enter_context(context.wrap_socket(plain, server_hostname=host)).sendall(head)
            yield

    def post_on(self, session, path, **options):
        return session.post(self._url + path, timeout=10, **options)


class _From(HTTPAdapter):
    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, source_address=(self._address, 0), **options)


def until(predicate, timeout_s=STARTING):
    """Look until *predicate* holds; a connection error counts as not yet."""
    ends_at = time.monotonic() + timeout_s
    while not _holds(predicate):
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def _holds(predicate):
    try:
        return predicate()
    except requests.RequestException:
        return False
