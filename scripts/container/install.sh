#!/usr/bin/env bash
# One step of making an environment that holds this project: install.sh STEP LOCK FOLDER. Each layer of the Dockerfile
# is such a step, and bootstrap.sh takes them one after the other.
#
# environment  a virtual environment in FOLDER, of the Python that PYTHON names
# torch        PyTorch for requirements/LOCK.lock, where that lock leaves it out
# packages     requirements/LOCK.lock, every file checked by its hash
# oscine       this project's package
# check        run what was installed and import what each engine of the lock loads, so that nothing broken counts as
#              finished; a GPU is not needed
# uv           uv itself into FOLDER/bin; LOCK is not looked at
#
# What pip or uv are told of indexes, caches and certificates by their own variables holds here. Without UV_CACHE_DIR
# nothing is cached: in a container a cache would only double what is on the disk.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

stop() {
    printf 'install: %s\n' "$1" >&2
    exit 1
}

main() {
    [ $# -eq 3 ] || stop "usage: install.sh environment|torch|packages|oscine|check|uv LOCK FOLDER"
    step=$1 lock=$2 folder=$3 python=$3/bin/python
    settings
    case $step in
        environment)
            uv venv --quiet --no-project --python "${PYTHON:-python3}" "$folder"
            ;;
        torch)
            local wanted=$root/requirements/torch-$lock.txt source=()
            if [ -f "$wanted" ]; then
                # Wheels that pip was told of come first: the makers' own index cannot be reached from everywhere.
                read -ra links <<<"${PIP_FIND_LINKS:-}"
                for link in "${links[@]}"; do source+=(--find-links "$link"); done
                [ ${#source[@]} -gt 0 ] || source=("--torch-backend=$(backend)")
                add "${source[@]}" -r "$wanted"
            fi
            ;;
        packages)
            add --no-deps --require-hashes -r "$root/requirements/$lock.lock"
            # In the place of packages that have no wheels; requirements/indextts-overrides.txt says why.
            if grep -q '^nemo-text-processing==' "$root/requirements/$lock.lock" &&
                ! grep -q '^cdifflib==' "$root/requirements/$lock.lock"; then
                cp "$root/requirements/stand-ins/"*.py "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
            fi
            ;;
        oscine)
            # uv would take a wheel that it built before from its cache, also where the code is another by now.
            add --no-cache --no-deps --no-build-isolation "$root"
            ;;
        check)
            "$python" -m oscine --version
            "$python" -c 'import runpod, obstore'
            "$python" "$root/scripts/container/engines.py" "$lock"
            ;;
        uv)
            bring_uv "$folder"
            ;;
        *) stop "there is no step $step" ;;
    esac
}

add() {
    uv pip install --quiet --compile-bytecode --python "$python" "$@"
}

# The build of PyTorch that fits the image: torch-gpu.txt is for CUDA 12.8.
backend() {
    if [ "$lock" = gpu ]; then echo cu128; else echo cpu; fi
}

settings() {
    export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_NO_CONFIG=1
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}"
    # uv does not read pip's variables.
    local index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index" PIP_INDEX_URL="$index"
    local certificates=${SSL_CERT_FILE:-${PIP_CERT:-}}
    [ -z "$certificates" ] || export SSL_CERT_FILE="$certificates" PIP_CERT="$certificates"
    [ -n "${UV_CACHE_DIR:-}" ] || export UV_NO_CACHE=1
}

# uv from PATH, or the locked one, brought by pip for this step alone.
uv() {
    if ! type -P uv >/dev/null; then
        brought=$(mktemp -d)
        trap 'rm -rf "$brought"' EXIT
        bring_uv "$brought"
        PATH=$PATH:$brought/bin
    fi
    command uv "$@"
}

bring_uv() { # folder
    local pip
    pip=$(mktemp -d)
    "${PYTHON:-python3}" -m venv "$pip" || stop "Python has no venv; on Debian and Ubuntu: apt-get install python3-venv"
    "$pip/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-input --no-deps \
        --only-binary=:all: --require-hashes --requirement "$root/requirements/bootstrap.lock"
    mkdir -p "$1/bin"
    cp "$pip/bin/uv" "$1/bin/uv"
    rm -rf "$pip"
}

main "$@"
