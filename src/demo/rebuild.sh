#!/bin/sh
# Stands in for nixos-rebuild and darwin-rebuild in the demo, which runs on machines that
# are neither. It builds nothing. It prints what the real one would, takes a few seconds,
# and really makes a generation below $NIXFLEET_ROOT: profile first, then activation.
set -eu

root=${NIXFLEET_ROOT:?NIXFLEET_ROOT is not set}
step=${NIXFLEET_DEMO_STEP:-0.8}
profiles=$root/nix/var/nix/profiles
mkdir -p "$profiles" "$root/nix/store" "$root/run"

action= flake= rollback=
while [ $# -gt 0 ]; do
  case $1 in
    switch | boot | build | dry-activate) action=$1 ;;
    --flake) flake=${2:?--flake: expected one argument}; shift ;;
    --rollback) rollback=1 ;;
    *) echo "error: unrecognized arguments: $1" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$action" ] || { echo "usage: rebuild {switch,boot,build,dry-activate} --flake DIR#HOST" >&2; exit 2; }

say() { echo "$*" >&2; sleep "$step"; }
numbers() { for link in "$profiles"/system-*-link; do
  [ -L "$link" ] && link=${link##*/system-} && echo "${link%-link}"; done | sort -n; }

# Links are replaced by a rename, so that nobody ever finds none. GNU mv needs -T, BSD
# mv -h, not to move into the directory that the old link points to.
point() {
  ln -s "$1" "$2.new"
  mv -fT "$2.new" "$2" 2>/dev/null || mv -fh "$2.new" "$2"
}

activate() {
  say "activating the configuration..."
  say "setting up /etc..."
  say "restarting the following units: nginx.service, sshd.service"
  point "$1" "$root/run/current-system"
  echo "Done. The new configuration is $1" >&2
}

if [ -n "$rollback" ]; then
  now=$(readlink "$profiles/system") && now=${now#system-} && now=${now%-link}
  before=$(numbers | awk -v now="$now" '$1 < now' | tail -n 1)
  [ -n "$before" ] || { echo "error: no generation older than the current ($now) exists" >&2; exit 1; }
  say "switching profile from version $now to $before"
  point "system-$before-link" "$profiles/system"
  activate "$(readlink "$profiles/system-$before-link")"
  exit 0
fi

dir=${flake%%#*} host=${flake#*#}
commit=$(git -c safe.directory='*' -C "$dir" rev-parse HEAD)
say "building the system configuration..."
if ! [ -f "$dir/hosts/$host/configuration.nix" ]; then
  echo "error: flake '$dir' does not provide attribute 'nixosConfigurations.\"$host\".config.system.build.toplevel'" >&2
  exit 1
fi
hash=$(printf '%s %s' "$host" "$commit" | git hash-object --stdin | cut -c1-32)
path=$root/nix/store/$hash-nixos-system-$host-26.05
if ! [ -d "$path" ]; then
  say "these 3 derivations will be built:"
  say "  /nix/store/$(echo "$hash" | cut -c1-20)-etc.drv"
  say "  /nix/store/$(echo "$hash" | cut -c5-24)-system-units.drv"
  say "building '/nix/store/$hash-nixos-system-$host-26.05.drv'..."
  mkdir -p "$path/sw/bin"
  for program in nixos-version darwin-version; do
    printf '#!/bin/sh\necho %s\n' "$commit" > "$path/sw/bin/$program"
    chmod +x "$path/sw/bin/$program"
  done
fi
case $action in
  build) echo "$path"; exit 0 ;;
  dry-activate)
    # As the agent says it where there is a real store. What really differs here is the commit.
    runs=$("$root/run/current-system/sw/bin/nixos-version" 2>/dev/null | cut -c1-7)
    say "# what changes: the system that runs to $path"
    if [ "$runs" != "$(echo "$commit" | cut -c1-7)" ]; then
      say "nixos-system-$host: ${runs:-∅} → $(echo "$commit" | cut -c1-7)"
    fi
    say "# end of what changes"
    say "would restart the following units: nginx.service, sshd.service"
    exit 0 ;;
esac
newest=$(numbers | tail -n 1)
if [ "$(readlink "$profiles/system-${newest:-0}-link" || true)" != "$path" ]; then
  newest=$((${newest:-0} + 1))
  point "$path" "$profiles/system-$newest-link"
fi
point "system-$newest-link" "$profiles/system"
if [ "$action" = boot ]; then
  say "updating the boot loader..."
  echo "Done. The next boot starts $path" >&2
  exit 0
fi
activate "$path"
