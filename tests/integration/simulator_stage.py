"""A simulator whose webhooks go to a receiver: what tests of calls stand on."""

from contextlib import ExitStack, contextmanager

import requests

from deploy.receiver import Mode, Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings

SOURCE, NUMBER = "+6531580001", "+6581234567"
SAY = {"action": "say", "params": {"text": "4, 0, 7", "voiceProfile": "en-US-BenjaminRUS", "repetition": 2}}
HANG_UP = {"action": "hangup"}
ASK = {
    "action": "sayAndCapture",
    "params": {
        "promptMessage": "4, 0, 7. Press any key.",
        "voiceProfile": "en-US-BenjaminRUS",
        "minDigits": 1,
        "maxDigits": 1,
        "completeOnHash": False,
        "digitTimeout": 2000,
        "overallTimeout": 3000,
        "noOfTries": 2,
    },
}
HANG_UP_REPLY = b'{"clientActionId": "end", "callflow": [{"action": "hangup"}]}'


class Stage:
    """A simulator whose webhooks go to a receiver."""

    def __init__(self, simulator, receiver):
        self.simulator, self.receiver = simulator, receiver
        self.http = requests.Session()
        self.base = f"{simulator.url}/api/v1/subaccounts/{simulator.settings.subaccount_id}"
        self.http.headers["Authorization"] = f"Bearer {simulator.api_key}"
        simulator.register_webhook("VSS", f"{receiver.url}/vss", "Bearer vss-token")
        simulator.register_webhook("VCA", f"{receiver.url}/vca", "Basic dmNhOnRva2Vu")
        self.answer_vca(HANG_UP_REPLY)

    def answer_vca(self, body):
        self.receiver.set_mode("/vca", Mode(body=body))

    def dial(self, *actions, destination=NUMBER, timeout=5, **members):
        dial = {"action": "makeCall", "params": {"source": SOURCE, "destination": destination}}
        body = {"callflow": [dial, *(actions or (SAY, HANG_UP))]} | members
        return self.http.post(f"{self.base}/callflows", json=body, timeout=timeout)

    def webhooks(self, path, count=1):
        received = self.receiver.wait_for(lambda all_: sum(one.path == path for one in all_) >= count)
        return [one for one in received if one.path == path]

    def summary(self):
        return self.webhooks("/vss")[-1].json()["payload"]


@contextmanager
def stages():
    """Give a function that builds a stage with settings of the test's choice; all are closed at the end."""
    with ExitStack() as stack:

        def build(**settings):
            simulator = stack.enter_context(Simulator(SimulatorSettings(**{"time_scale": 0.001} | settings)))
            built = Stage(simulator, stack.enter_context(Receiver()))
            stack.callback(built.http.close)
            return built

        yield build
