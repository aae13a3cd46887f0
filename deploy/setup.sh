# Sourced by deploy/dev, deploy/benchmark and deploy/test: makes .venv in the project's folder and keeps it current.
# shellcheck shell=bash

readonly OLDEST_PYTHON=3.11

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

fail() {
    say "$@"
    exit 2
}

is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" 2>/dev/null
}

# pyenv and the like put commands on PATH that only complain, so each candidate is tried.
find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13 python3.14; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "needs Python $OLDEST_PYTHON or newer; on Debian and Ubuntu: apt-get install python3 python3-venv"
}

hash_of_requirements() {
    # cksum is everywhere; sha256sum is not on macOS.
    cat pyproject.toml uv.lock deploy/setup.sh | cksum | tr ' ' '-'
}

# The stamp is "hash mode". What the tests need includes what the benchmark needs, and that what dev needs.
is_current() {
    local mode=$1 hash=$2 stamp
    [[ -x .venv/bin/python && -f .venv/ringpost-stamp ]] || return 1
    .venv/bin/python -c '' 2>/dev/null || return 1
    stamp=$(<.venv/ringpost-stamp)
    [[ $stamp == "$hash $mode" || $stamp == "$hash test" || $mode$stamp == "dev$hash bench" ]]
}

extra_of() {
    if [[ $1 == dev ]]; then echo embedded; else echo bench; fi
}

install_with_uv() {
    local options=(--quiet --locked) python
    # Without an installed Python uv fetches one; with one it need not.
    if python=$(find_python 2>/dev/null); then
        options+=(--python "$python")
    fi
    if [[ $1 != test ]]; then
        options+=(--no-dev --extra "$(extra_of "$1")")
    fi
    say "installing with uv into .venv"
    UV_PROJECT_ENVIRONMENT=.venv uv sync "${options[@]}"
}

make_venv() {
    local python
    python=$(find_python)
    say "making .venv with $python"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        fail "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install $("$python" -c \
            'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    "$python" -m venv --clear .venv
}

install_with_pip() {
    if [[ ! -x .venv/bin/pip ]] || ! is_new_enough .venv/bin/python; then
        make_venv
    fi
    say "installing with pip into .venv (a minute or so the first time)"
    # Exactly what uv.lock names, by hash; then the project itself, built by what was just installed.
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r "deploy/locked/$1.txt"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .
}

# set_up dev|bench|test: returns with .venv ready and the project's folder as working directory.
set_up() {
    local mode=$1 hash
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    hash=$(hash_of_requirements)
    if is_current "$mode" "$hash"; then
        return
    fi
    # An installation that once served the tests, or the benchmark, goes on doing so.
    if grep -qs ' test$' .venv/ringpost-stamp; then
        mode=test
    elif [[ $mode == dev ]] && grep -qs ' bench$' .venv/ringpost-stamp; then
        mode=bench
    fi
    rm -f .venv/ringpost-stamp
    if command -v uv >/dev/null; then
        install_with_uv "$mode"
    else
        install_with_pip "$mode"
    fi
    echo "$hash $mode" >.venv/ringpost-stamp
}
