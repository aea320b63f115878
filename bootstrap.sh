#!/usr/bin/env bash
# Starts the worker of a container: bootstrap.sh [--warmup], or bootstrap.sh COMMAND ... for another program of the
# environment, such as `bootstrap.sh oscine serve`.
#
# The first start on a volume makes the folders, installs what is locked, brings the engine's weights and remembers it;
# later starts find that and begin at once. In images that hold an environment already, only folders and weights are
# looked after. What happens is told on standard error and in indextts/bootstrap.log on the volume.
#
# Everything that it needs to know comes from the environment:
#
# OSCINE_VOLUME           where everything lies; /runpod-volume where that exists, else the user's data folder
# OSCINE_ENGINE           whose packages and weights are wanted: hibari, vibevoice, indextts2, indextts25
# BOOTSTRAP_LOCK          gpu, cpu or worker (no PyTorch) of requirements/*.lock; by the engine
# BOOTSTRAP_PYTHON        the Python that the environment is made of; 3.12 for gpu, else the first that suits
# BOOTSTRAP_ENVIRONMENT   an environment that holds everything: nothing is installed
# BOOTSTRAP_GRAMMARS      a folder of compiled grammars of numbers, which are copied to the volume
# BOOTSTRAP_WEIGHTS       auto; never: weights are brought by other means
# BOOTSTRAP_ROOM_MB       so much must be free on the volume before anything is installed; by the lock
# BOOTSTRAP_WAIT_SECONDS  so long another worker that installs on this volume is waited for: 3600
# BOOTSTRAP_STALE_SECONDS after so long without a sign of life it counts as killed: 60
#
# Variables of pip, uv and the Hugging Face Hub hold; whatever is set already is left as it is.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
engine=${OSCINE_ENGINE:-hibari}
stale=${BOOTSTRAP_STALE_SECONDS:-60}
token=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
full='The volume takes nothing more; it is probably full: make room on it, or attach a larger one.'
log=/dev/null
key=''
working='' # the process group of what is being done
beating='' # the process that shows that this start lives
unfinished=''
spoken=${TMPDIR:-/tmp}/bootstrap-$token # what the last thing that was done said

main() {
    begin=${EPOCHREALTIME/./}
    find_home
    make_folders
    trap 'leave $?' EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    set_variables
    choose
    if ! everything_ready; then
        wait_for_lock
        everything_ready || set_up
        unlock
    fi
    bring_grammars
    start "$@"
}

# --- the volume ----------------------------------------------------------------------------------------------------

# The same rule as `Settings.home`.
find_home() {
    home=${OSCINE_VOLUME:-} passing=''
    if [ -z "$home" ] && [ -d /runpod-volume ]; then home=/runpod-volume; fi
    if [ -z "$home" ]; then home=${XDG_DATA_HOME:-${HOME:-/root}/.local/share}/oscine passing=1; fi
    # shellcheck disable=SC2088 # as `Settings` does it, for a value that no shell has read
    case $home in "~" | "~/"*) home=${HOME:-/root}${home#"~"} ;; esac
}

make_folders() {
    case $home in /*) ;; *) home=$PWD/$home ;; esac
    local kept=$home/vibevoice
    if ! mkdir -p "$home"/vibevoice/{demo/voices,output} "$home"/indextts/{audio_voices,output_audio,checkpoints} \
        2>/dev/null || [ ! -w "$kept" ]; then
        if [ -d "$home" ] && [ -w "$home" ]; then
            stop "$full"
        fi
        stop "The volume cannot be written; attach it with write access, or set OSCINE_VOLUME to a folder that can be written."
    fi
    flag=$kept/.first_run_complete
    lock_folder=$kept/.bootstrap.lock
    log=$home/indextts/bootstrap.log
    if [ -n "$passing" ]; then say "no volume is attached: what is brought now goes with the container"; fi
    if [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -gt 1000000 ]; then mv -f "$log" "$log.1" 2>/dev/null || true; fi
}

set_variables() {
    export HF_HOME=${HF_HOME:-$home/huggingface-cache} # its `hub` is where RunPod puts cached models, too
    export TORCH_HOME=${TORCH_HOME:-$home/cache/torch}
    export PYTHONUNBUFFERED=${PYTHONUNBUFFERED:-1}
    export RUNPOD_LOG_LEVEL=${RUNPOD_LOG_LEVEL:-INFO} # the SDK's own default writes results into the log
}

# --- what is wanted ------------------------------------------------------------------------------------------------

choose() {
    weights=$(printf '%s\n' "$engine" "${MODEL_PATH:-}" "${CHECKPOINTS_DIR:-}" "${MODEL_REPO:-}" \
        "${OSCINE_INDEXTTS25_DIR:-}" "${OSCINE_INDEXTTS25_REPO:-}" "$HF_HOME" "${HF_HUB_CACHE:-}" | digest)
    if [ -n "${BOOTSTRAP_ENVIRONMENT:-}" ]; then return; fi
    lock=${BOOTSTRAP_LOCK:-}
    if [ -z "$lock" ]; then
        # The other engines share a lock, so that endpoints with different ones share an environment on their volume.
        case $engine in hibari) lock=worker ;; *) lock=gpu ;; esac
    fi
    [ -f "$root/requirements/$lock.lock" ] || stop "BOOTSTRAP_LOCK must be gpu, cpu or worker."
    find_python
    # What is installed follows from these; another of them is another environment.
    local sources=(src scripts/container requirements/stand-ins "requirements/$lock.lock" pyproject.toml)
    if [ -f "$root/requirements/torch-$lock.txt" ]; then sources+=("requirements/torch-$lock.txt"); fi
    key=$({
        printf '%s\n' "$lock" "$identity"
        cd "$root" && find "${sources[@]}" -type f -not -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | digest)
}

digest() {
    sha256sum | cut -c 1-16
}

# gpu.lock holds wheels for 3.12 alone.
find_python() {
    local oldest=3.11 newest=3.99 candidate
    if [ "$lock" = gpu ]; then oldest=3.12 newest=3.12; fi
    for candidate in ${BOOTSTRAP_PYTHON:-python3.12 python3.13 python3.14 python3.11 python3}; do
        if identity=$("$candidate" -c "
import sys
low, high = (tuple(map(int, each.split('.'))) for each in ('$oldest', '$newest'))
print(sys.version, sys.base_prefix) if low <= sys.version_info[:2] <= high else sys.exit(1)" 2>/dev/null); then
            python=$(command -v "$candidate")
            return
        fi
    done
    if [ "$oldest" = "$newest" ]; then
        stop "Python $oldest was not found; install it, or name one in BOOTSTRAP_PYTHON."
    fi
    stop "Python $oldest or newer was not found; install it, or name one in BOOTSTRAP_PYTHON."
}

# --- what is there -------------------------------------------------------------------------------------------------

# The flag holds a line for everything that is finished:
#
# environment KEY FOLDER
# weights KEY FILES
#
# FILES stands for all files of weights, by name and size: where some are gone, or others have come, it is looked again.
# It is replaced as a whole. What is not in it was never finished, however much of it lies on the volume. Flags of
# other programs have no such lines, and their lines are kept.
everything_ready() {
    have_environment && have_weights
}

have_environment() {
    if [ -n "${BOOTSTRAP_ENVIRONMENT:-}" ]; then
        environment=$BOOTSTRAP_ENVIRONMENT
        [ -x "$environment/bin/python" ] || stop "BOOTSTRAP_ENVIRONMENT holds no environment; leave it unset to install one."
        return 0
    fi
    local what which where
    [ -r "$flag" ] || return 1
    while read -r what which where; do
        if [ "$what" = environment ] && [ "$which" = "$key" ] && [ -x "$home/vibevoice/$where/bin/python" ]; then
            environment=$home/vibevoice/$where
            return 0
        fi
    done <"$flag"
    return 1
}

have_weights() {
    if [ "${BOOTSTRAP_WEIGHTS:-auto}" = never ] || [ "$engine" = hibari ]; then return 0; fi
    on_volume && grep -qxF "weights $weights $(weight_files)" "$flag" 2>/dev/null
}

weight_files() {
    {
        find -L "${HF_HUB_CACHE:-$HF_HOME/hub}" "${CHECKPOINTS_DIR:-$home/indextts/checkpoints}" \
            "${OSCINE_INDEXTTS25_DIR:-$home/indextts25/checkpoints}" "${MODEL_PATH:-$home/none}" -maxdepth 6 -type f \
            \( -name '*.safetensors' -o -name '*.pth' -o -name '*.pt' -o -name '*.bin' \) -printf '%p %s\n' 2>/dev/null ||
            true
    } | LC_ALL=C sort -u | digest
}

# What lies elsewhere may be gone with the container that the flag does not belong to.
on_volume() {
    local place
    for place in "${HF_HUB_CACHE:-$HF_HOME}" "${CHECKPOINTS_DIR:-$home}" "${OSCINE_INDEXTTS25_DIR:-$home}"; do
        case $place in "$home" | "$home"/*) ;; *) return 1 ;; esac
    done
}

remember() { # line
    local old what which where
    old=$(cat "$flag" 2>/dev/null || true)
    {
        while read -r what which where; do
            case $what in
                '') ;;
                environment)
                    # One that was used in the last week may belong to a worker that still runs.
                    if [ "$1" != "environment $which ${1##* }" ] &&
                        [ -n "$(find "$home/vibevoice/$where/used" -mtime -7 2>/dev/null)" ]; then
                        echo "$what $which $where"
                    fi
                    ;;
                weights) [ "${1% *}" = "$what $which" ] || echo "$what $which $where" ;;
                *) echo "$what${which:+ $which}${where:+ $where}" ;;
            esac
        done <<<"$old"
        echo "$1"
    } >"$flag.$token" && mv -f "$flag.$token" "$flag"
}

# --- one at a time -------------------------------------------------------------------------------------------------

# Several workers may start on one volume at the same moment, on different machines. Whether a network volume's flock
# reaches from one machine to another depends on how it is mounted, so the lock is a folder: it is made elsewhere and
# renamed, which every file system does at once or not at all, and it never is empty, so that no rename replaces it.
# Its owner writes a number into it again and again; who waits sees whether that moves, and so compares no clocks.
# Should two go on at the same time after all, as when one was frozen for a minute, then each works in a folder of its
# own, and the flag takes the last word of either: the lock saves work, nothing depends on it.
wait_for_lock() {
    local seen='' beat since=$SECONDS until=$((SECONDS + ${BOOTSTRAP_WAIT_SECONDS:-3600})) told=''
    while ! take_lock; do
        beat=$(cat "$lock_folder/beat" 2>/dev/null || true)
        if [ -z "$told" ]; then
            told=1
            say "another worker is setting up this volume; waiting for it"
        fi
        if [ "$beat" != "$seen" ]; then
            seen=$beat since=$SECONDS
        elif ((SECONDS - since >= stale)); then
            take_away "$seen"
            since=$SECONDS
        fi
        if ((SECONDS >= until)); then
            stop "Another worker has been setting up this volume for too long; start again when it is done, or raise BOOTSTRAP_WAIT_SECONDS."
        fi
        sleep 1
        if everything_ready; then return; fi
    done
    return 0
}

take_lock() {
    local made=$lock_folder.$token
    rm -rf "$made"
    if ! { mkdir "$made" && echo "$token 0" >"$made/beat"; } 2>/dev/null; then
        rm -rf "$made"
        stop "$full"
    fi
    if ! mv -T "$made" "$lock_folder" 2>/dev/null; then
        rm -rf "$made"
        return 1
    fi
    beat &
    beating=$!
}

beat() {
    exec </dev/null >/dev/null 2>&1
    trap - EXIT TERM INT
    local count=0 owner
    while kill -0 $$; do
        read -r owner _ <"$lock_folder/beat" && [ "$owner" = "$token" ] || exit
        count=$((count + 1))
        echo "$token $count" 1<>"$lock_folder/beat" # in place: it is never empty
        # A `sleep` would be a process that outlives this one.
        read -rt $((stale / 6 + 1)) <> <(:) || true
    done
}

take_away() { # what its owner wrote last
    local taken=$lock_folder.taken-$token
    say "the worker that was setting up this volume gives no sign of life; going on in its place"
    mv -T "$lock_folder" "$taken" 2>/dev/null || return 0
    if [ "$(cut -d ' ' -f 1 "$taken/beat" 2>/dev/null)" != "${1%% *}" ]; then
        # Somebody else was faster, and this is theirs.
        mv -T "$taken" "$lock_folder" 2>/dev/null && return 0
    fi
    rm -rf "$taken"
}

unlock() {
    [ -n "$beating" ] || return 0
    kill "$beating" || true
    wait "$beating" || true
    beating=''
    local owner
    if read -r owner _ <"$lock_folder/beat" && [ "$owner" = "$token" ]; then rm -rf "$lock_folder"; fi
} 2>/dev/null

# --- the first start -----------------------------------------------------------------------------------------------

set_up() {
    if ! have_environment; then install_environment; fi
    if ! have_weights; then bring_weights; fi
}

install_environment() {
    local name=venv-$key-$token step room
    case $lock in gpu) room=14000 ;; cpu) room=4000 ;; *) room=1000 ;; esac
    remove_unfinished
    room=${BOOTSTRAP_ROOM_MB:-$room}
    if [ "$(df -Pm "$home" | awk 'NR == 2 { print $4 }')" -lt "$room" ] 2>/dev/null; then
        stop "The volume is full: $room MB must be free to install on it; make room, or attach a larger one."
    fi
    say "first start of this version: installing; this takes some minutes"
    unfinished=$home/vibevoice/$name
    for step in environment torch packages oscine check; do
        say "installing: $step"
        if ! PYTHON=$python work "$root/scripts/container/install.sh" "$step" "$lock" "$unfinished"; then
            if no_room; then stop "$full"; fi
            stop "Installing failed at the step $step; the lines above say why, and the next start tries again."
        fi
    done
    touch "$unfinished/used"
    remember "environment $key $name" ||
        stop "$full"
    environment=$unfinished unfinished=''
    # For people at a terminal. A real folder of this name belongs to another program, and stays.
    if [ -L "$home/vibevoice/venv" ] || [ ! -e "$home/vibevoice/venv" ]; then
        ln -sfn "$name" "$home/vibevoice/venv" 2>/dev/null || true
    fi
    say "installed"
}

# Whatever is not in the flag: what was killed, and what nobody used for a week.
remove_unfinished() {
    local each
    for each in "$home"/vibevoice/venv-*; do
        if [ -d "$each" ] && ! grep -q "^environment [^ ]* ${each##*/}\$" "$flag" 2>/dev/null; then rm -rf "$each"; fi
    done
    find "$home/vibevoice" -maxdepth 1 \( -name '.bootstrap.lock.*' -o -name '.first_run_complete.*' \) -mmin +60 \
        -exec rm -rf {} + 2>/dev/null || true
}

bring_weights() {
    if ! "$environment/bin/python" -m oscine engines --json 2>/dev/null | "$environment/bin/python" -c "
import json, sys
sys.exit(not any(each['name'] == sys.argv[1] and each['ready'] for each in json.load(sys.stdin)))" "$engine"; then
        say "bringing the weights of $engine"
        if ! work "$environment/bin/python" -m oscine download "$engine"; then
            # A worker that cannot speak would take jobs and fail them all; as long as none is there they wait.
            stop "The weights of $engine could not be brought; the lines above say why, and the next start goes on with what is there."
        fi
    fi
    remember "weights $weights $(weight_files)" || true
}

# The container's target for IndexTTS has them, since compiling them takes half a minute.
bring_grammars() {
    local each place=$home/cache/grammars
    for each in "${BOOTSTRAP_GRAMMARS:-/nowhere}"/*; do
        if [ -d "$each" ] && [ ! -d "$place/${each##*/}" ]; then
            { mkdir -p "$place" && cp -R "$each" "$place/.$token" && mv -T "$place/.$token" "$place/${each##*/}"; } 2>/dev/null ||
                rm -rf "$place/.$token"
        fi
    done
}

# --- doing and telling ---------------------------------------------------------------------------------------------

# Do something that takes long: in the background, because bash would look at a signal only after it, and in a process
# group of its own, so that all of it can be ended.
work() {
    local code=0 out teller
    rm -f "$spoken"
    exec {out}> >(tell)
    teller=$!
    setsid "$@" </dev/null >&"$out" 2>&1 &
    working=$!
    exec {out}>&-
    wait "$working" || code=$?
    working=''
    wait "$teller" 2>/dev/null || true # so that what was said is written down
    return "$code"
}

# Addresses with credentials lose them, and their queries.
tell() {
    sed -u -E 's#(://)[^/@[:space:]]+@#\1***@#g; s#(://[^?[:space:]]*)\?[^[:space:]]*#\1#g' | tee -a "$log" "$spoken" >&2 2>/dev/null
}

say() {
    local TZ=UTC
    printf '%(%FT%TZ)T %s %s\n' -1 "${token:0:6}" "$1" 2>/dev/null >>"$log" || true
    printf 'bootstrap: %s\n' "$1" >&2
}

stop() {
    say "$1"
    exit 1
}

# Whether what was done last ended for want of room: it may have given back what it had taken.
no_room() {
    grep -qiE 'no space left|quota exceeded|os error (28|122)' "$spoken" 2>/dev/null
}

# Whatever ends this script, short of SIGKILL, leaves nothing behind.
leave() {
    trap - EXIT TERM INT
    if [ -n "$working" ]; then
        kill -- "-$working" 2>/dev/null || true
        wait "$working" 2>/dev/null || true
    fi
    if [ -n "$unfinished" ]; then rm -rf "$unfinished"; fi
    rm -f "$spoken"
    unlock
    exit "$1"
}

start() {
    if [ -z "${BOOTSTRAP_ENVIRONMENT:-}" ]; then touch "$environment/used" 2>/dev/null || true; fi
    export VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH
    say "starting after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
    rm -f "$spoken"
    trap - EXIT TERM INT
    # The worker takes this process's place, and so its signals.
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then exec "$@"; fi
    exec "$environment/bin/python" -u "$root/handler.py" "$@"
}

main "$@"
