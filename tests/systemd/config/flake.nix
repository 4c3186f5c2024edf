# The configuration of a machine that boots a real systemd. host.json says all that tests change;
# the units are what the modules of this project make of it.
{
  outputs =
    { self }:
    let
      host = builtins.fromJSON (builtins.readFile ./host.json);
      lib = import ./nixfleet/tests/nix/lib.nix;
      render = import ./units.nix { inherit lib; };
      revision = self.rev or "dirty";

      sh =
        name: env: script:
        derivation (
          env
          // {
            inherit name;
            inherit (host) system;
            builder = "/bin/sh";
            args = [
              "-eu"
              "-c"
              script
            ];
            PATH = "/usr/bin:/bin";
          }
        );

      # What the machine has anyway, under the name that a package of nixpkgs would have.
      ofTheMachine = name: sh name { } "mkdir $out; ln -s /usr/bin $out/bin";
      nixfleet =
        sh "nixfleet-${host.release}" { } ''
          mkdir -p $out/bin
          cp /srv/nixfleet/nixfleet $out/bin/nixfleet
          [ ! -e /srv/nixfleet/real ] || cp /srv/nixfleet/real $out/bin/real
        ''
        // {
          meta.mainProgram = "nixfleet";
        };

      stdenv = {
        hostPlatform.isDarwin = false;
        buildPlatform.canExecute = _: true;
      };
      runCommand = name: environment: sh name (environment // { PATH = "/usr/bin:/bin"; });

      made = lib.evalModule {
        module = import ./nixfleet/nixos-module.nix { packageFor = _: nixfleet; };
        defined = host.services;
        pkgs = {
          git = ofTheMachine "git";
          openssh = ofTheMachine "openssh";
          inherit runCommand stdenv;
        };
        base = {
          networking.hostName = "alpha";
          nix.package = ofTheMachine "nix";
          systemd.package = ofTheMachine "systemd";
        };
      };
      config =
        if made.errors == [ ] then made.config else throw (builtins.concatStringsSep "\n" made.errors);
      # The home of a user who has nothing but home-manager.
      home = lib.evalModule {
        module = import ./nixfleet/home-module.nix { packageFor = _: nixfleet; };
        defined = host.home;
        pkgs = {
          git = ofTheMachine "git";
          openssh = ofTheMachine "openssh";
          inherit runCommand stdenv;
        };
        base.home = {
          username = "me";
          homeDirectory = "/home/me";
        };
      };
      homeUnits = builtins.mapAttrs (
        _: render.sections
      ) (home.config.systemd.user.services or { });

      base = [
        (ofTheMachine "coreutils")
        (ofTheMachine "systemd")
      ];
      services = (config.systemd.services or { }) // host.demo;
      units = builtins.mapAttrs (_: render.service base) services;

      unit =
        name: text:
        sh "unit-${name}.service" {
          inherit text;
          passAsFile = [ "text" ];
        } "cp $textPath $out";
      copies =
        directory:
        lib.mapAttrsToList (name: text: "cp ${unit name text} $out/${directory}/${name}.service");

      toplevel =
        sh "nixos-system-alpha-${host.release}"
          {
            inherit revision;
            inherit (host) motd fault kernel;
            inhibitors = builtins.toJSON host.inhibitors;
            users = builtins.attrNames (config.users.users or { });
            checks = config.system.checks or [ ];
            rules = builtins.concatStringsSep "\n" (config.systemd.tmpfiles.rules or [ ]);
          }
          ''
            . ${./gate}
            gate build
            mkdir -p $out/bin $out/sw/bin $out/etc/systemd/system $out/home
            printf '%s\n' "$motd" > $out/etc/motd
            printf '%s' "$inhibitors" > $out/switch-inhibitors
            mkdir -p "$out/kernel-modules/lib/modules/$kernel"
            ln -s "/srv/kernels/$kernel" $out/kernel
            printf '%s\n' $users > $out/users
            printf '%s\n' "$rules" > $out/tmpfiles.conf
            ${builtins.concatStringsSep "\n" (copies "etc/systemd/system" units ++ copies "home" homeUnits)}
            printf '#!/bin/sh\necho %s\n' "$revision" > $out/sw/bin/nixos-version
            { echo '#!/bin/bash'; cat ${./gate} ${./nixos-rebuild}; } > $out/sw/bin/nixos-rebuild
            { echo '#!/bin/sh'; echo "out=$out"; echo "fault=$fault"; cat ${./gate} ${./switch-to-configuration}; } > $out/bin/switch-to-configuration
            chmod +x $out/sw/bin/* $out/bin/*
          '';
    in
    {
      nixosConfigurations.alpha.config.system.build.toplevel = toplevel;
    };
}
