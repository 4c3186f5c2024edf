#!/bin/sh
# Stands in for nixos-rebuild in tests. Files in $NIXFLEET_ROOT/control say what happens:
#   gate             wait here, after the first lines, until the file `go` is there
#   fail-build       the build fails; fail-activation: the activation fails
#   says-nothing     a dry run does not say what would change
#   on-switch        a program that is run while it activates
set -eu
root=${NIXFLEET_ROOT:?}
control=$root/control
profiles=$root/nix/var/nix/profiles
mkdir -p "$profiles" "$root/run"
case $1 in
  build)
    # Leaves what it comes to as `result` where it runs; nothing changes.
    [ "$2" = --flake ]
    commit=$(git -c safe.directory='*' -C "${3%%#*}" rev-parse HEAD)
    mkdir -p "$root/nix/store/$commit-system"
    ln -sfn "$root/nix/store/$commit-system" result
    exit 0 ;;
  dry-activate)
    [ -e "$control/says-nothing" ] || echo "would restart the following units: nginx.service, sshd.service" >&2
    echo "the end of a dry run" >&2
    exit 0 ;;
esac
[ "$1" = switch ] || [ "$1" = boot ] || { echo "error: unrecognized arguments: $1" >&2; exit 2; }
action=$1
shift
point() { ln -s "$1" "$2.new"; mv -fT "$2.new" "$2"; }
newest() { for l in "$profiles"/system-*-link; do [ -L "$l" ] && l=${l##*/system-} && echo "${l%-link}"; done | sort -n | tail -n 1; }

if [ "${1:-}" = --rollback ]; then
  now=$(readlink "$profiles/system") && now=${now#system-} && now=${now%-link}
  point "system-$((now - 1))-link" "$profiles/system"
  point "$(readlink "$profiles/system-$((now - 1))-link")" "$root/run/current-system"
  exit 0
fi
[ "$1" = --flake ]
dir=${2%%#*}
commit=$(git -c safe.directory='*' -C "$dir" rev-parse HEAD)
# As Nix names what was built from changed files.
if [ -n "$(git -c safe.directory='*' -C "$dir" --no-optional-locks status --porcelain --untracked-files=no)" ]; then
  commit=$commit-dirty
fi
echo "building the system configuration..." >&2
for n in 1 2 3 4 5 6 7 8 9 10; do echo "before $n"; done
if [ -e "$control/gate" ]; then
  echo "waiting at the gate"
  while ! [ -e "$control/go" ]; do sleep 0.02; done
fi
for n in 1 2 3 4 5 6 7 8 9 10; do echo "after $n"; done
if [ -e "$control/fail-build" ]; then echo "error: builder failed with exit code 7" >&2; exit 1; fi
path=$root/nix/store/$commit-system
mkdir -p "$path/sw/bin"
printf '#!/bin/sh\necho %s\n' "$commit" > "$path/sw/bin/nixos-version"
chmod +x "$path/sw/bin/nixos-version"
number=$(newest)
if [ "$(readlink "$profiles/system-${number:-0}-link" || true)" != "$path" ]; then
  number=$((${number:-0} + 1))
  point "$path" "$profiles/system-$number-link"
fi
point "system-$number-link" "$profiles/system"
if [ "$action" = boot ]; then echo "updating GRUB 2 menu..." >&2; exit 0; fi
if [ -e "$control/fail-activation" ]; then echo "Failed to run activate script" >&2; exit 1; fi
point "$path" "$root/run/current-system"
if [ -x "$control/on-switch" ]; then "$control/on-switch"; fi
echo "Done. The new configuration is $path" >&2
