{
  description = "See in one row per machine whether a NixOS or macOS host is current, and bring it there with a click";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      lib = nixpkgs.lib;
      forAllSystems = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      commit = self.rev or self.dirtyRev or "unknown";
      packageFor =
        pkgs:
        pkgs.callPackage ./nix/package.nix {
          inherit commit;
          tests = lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux { vm = vmTest pkgs; };
        };
      vmTest =
        pkgs:
        pkgs.testers.runNixOSTest (import ./nix/vm-test.nix { module = self.nixosModules.default; });
    in
    {
      packages = forAllSystems (
        pkgs:
        let
          nixfleet = packageFor pkgs;
        in
        {
          inherit nixfleet;
          default = nixfleet;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          container = pkgs.callPackage ./nix/container.nix { inherit nixfleet; };
        }
      );

      apps = forAllSystems (pkgs: rec {
        nixfleet = {
          type = "app";
          program = lib.getExe (packageFor pkgs);
          meta.description = "Dashboard, agent and demo in one binary";
        };
        default = nixfleet;
      });

      overlays.default = final: _: { nixfleet = packageFor final; };

      nixosModules.default = import ./nixos-module.nix { inherit packageFor; };
      darwinModules.default = import ./darwin-module.nix { inherit packageFor; };
      homeManagerModules.default = import ./home-module.nix { inherit packageFor; };

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.git
            pkgs.jq
            pkgs.rustc
            pkgs.rustfmt
          ];
        };
      });

      checks = forAllSystems (
        pkgs:
        {
          package = packageFor pkgs;
          formatting =
            pkgs.runCommand "nixfleet-formatting"
              {
                nativeBuildInputs = [
                  pkgs.cargo
                  pkgs.rustfmt
                ];
              }
              ''
                cargo fmt --manifest-path ${self}/Cargo.toml --check
                touch $out
              '';
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          vm = vmTest pkgs;
        }
      );
    };
}
