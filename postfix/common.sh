# shellcheck shell=bash
# What `install` and `remove` share. Sourced, not run; they set $dir (Postfix's configuration), $saved and $dry_run.
# shellcheck disable=SC2154
#
# The saved state, <config dir>/pfilter.saved/:
#   main.cf master.cf   as they were before the first install
#   left                checksums of both as install or remove left them: while they hold, nobody else has edited the
#                       files since, and remove may put the saved ones back byte for byte; else it undoes its own lines
#   attached, rest      how to undo each change, one a line: P|e SETTING (set again), PX|X|MX NAME (take out), rm FILE
#   layout              which layout is installed
#   change/             while install goes from one layout to another: all of the above as it was before

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# In a dry run every change goes through here and is only shown. Reading is always real.
change() {
    if [ -n "$dry_run" ]; then printf '  %s\n' "$(quoted "$@")"; else "$@"; fi
}

quoted() {
    local word out=
    for word; do
        # What a shell would leave alone needs no quotes; the rest is easier to read in '...' than as printf %q has it.
        if [[ $word =~ ^[A-Za-z0-9_./:=,@+-]+$ ]]; then out+=" $word"; else out+=" '${word//\'/\'\\\'\'}'"; fi
    done
    printf '%s' "${out# }"
}

# Warnings of postconf are about what is not there (an answer here) or what is not used yet (true for a moment).
ask() { postconf -c "$dir" "$@" 2>/dev/null || true; }

# service_option SERVICE/TYPE/NAME: prints "=VALUE" where master.cf sets it, nothing where it doesn't.
service_option() {
    local line
    line=$(ask -P "$1")
    if [ -n "$line" ]; then printf '=%s' "$(ask -h -P "$1")"; fi
}

# main_option NAME: the same for main.cf. grep, since `postconf -n` doesn't list parameters that no service uses yet.
main_option() {
    if grep -Eq "^$1[[:space:]]*=" "$dir/main.cf"; then printf '=%s' "$(ask -h "$1")"; fi
}

running() { postfix -c "$dir" status >/dev/null 2>&1; }

reload() {
    if running; then change postfix -c "$dir" reload; fi
}

checksums() { (cd "$dir" && sha256sum main.cf master.cf); }

untouched() { [ -f "$saved/left" ] && [ "$(checksums)" = "$(cat "$saved/left")" ]; }

# waiting PATTERN: how many messages in the queue name such a filter (grep -E). The route is part of the queue file.
# Looked up in the files, not with postqueue, which fails in several ways where Postfix is down. Messages move between the
# folders while we look: hence "deferred" twice, several rounds, and the highest count.
waiting() {
    local queue highest=0 count
    queue=$(ask -hx queue_directory)
    for _ in 1 2 3; do
        count=$(find "$queue/deferred" "$queue/hold" "$queue/incoming" "$queue/active" "$queue/deferred" -type f -print0 2>/dev/null |
            sort -zu | timeout 600 xargs -0r postcat -c "$dir" -e 2>/dev/null | grep -Ec "^content_filter: $1" || true)
        if [ "$count" -gt "$highest" ]; then highest=$count; fi
        if running; then sleep 1; else break; fi
    done
    echo "$highest"
}

# undo FILE: line by line what an undo list says.
undo() {
    local verb what
    while read -r verb what; do
        case $verb in
            P | PX | MX | e | X) change postconf -c "$dir" "-$verb" "$what" ;;
            rm) change rm -f "$what" ;;
            *) die "$1: I don't understand '$verb $what'" ;;
        esac
    done <"$1"
}

# put_back FOLDER: the saved files over those in use. Renamed into place, so that Postfix never reads half a file.
put_back() {
    local name from=$1
    for name in main.cf master.cf; do
        change cp -p "$from/$name" "$dir/$name.pfilter-tmp"
        change mv -f "$dir/$name.pfilter-tmp" "$dir/$name"
    done
}

need_postfix() {
    [ "$(id -u)" = 0 ] || die "must be run as root: it changes $dir"
    [ -x "$(command -v postconf)" ] || die "postconf not found: is Postfix installed, is /usr/sbin in PATH?"
    local name
    for name in main.cf master.cf; do
        [ -f "$dir/$name" ] || die "$dir/$name does not exist: configure Postfix first"
    done
}
