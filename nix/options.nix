# The options of all modules, in one tree. `packages.nixfleet` is the program.
{
  lib,
  packages,
}:

let
  inherit (lib) mkOption mkEnableOption types;

  # A path as text: a path literal would be copied into the store, which everybody can read.
  file = types.nullOr (types.strMatching "/.+");

  secret =
    what: example:
    mkOption {
      type = file;
      default = null;
      inherit example;
      description = "File with ${what}. It is read when the service starts, and never enters the store.";
    };

  package = lib.mkPackageOption packages "nixfleet" { };

  branch = mkOption {
    type = types.str;
    default = "main";
    description = "The branch that hosts follow.";
  };

  environment = mkOption {
    type = types.attrsOf (
      types.oneOf [
        types.bool
        types.int
        types.str
      ]
    );
    default = { };
    example = {
      NIXFLEET_TIME_LIMITS = "switch=90m";
    };
    description = "More variables for the service, as `nixfleet --help` names them. No secrets: what stands here is in the store. `settings` is another name for it.";
  };

  environmentFiles = mkOption {
    type = types.listOf (types.strMatching "-?/.+");
    default = [ ];
    example = [ "/run/secrets/nixfleet.env" ];
    description = "Files with more variables, one `NAME=value` per line, for example all secrets at once. One that begins with `-` may be missing. Not on macOS: launchd reads no such files.";
  };
in
{
  allowSecretsInStore = mkOption {
    type = types.bool;
    default = false;
    description = "Allows secret files in the Nix store, where everybody can read them. For tests only.";
  };

  dashboard = {
    enable = mkEnableOption "the nixfleet dashboard";
    inherit
      package
      branch
      environment
      environmentFiles
      ;

    listenAddress = mkOption {
      type = types.str;
      default = "127.0.0.1";
      description = "IP address to listen on. `::` is every address of the machine.";
    };
    port = mkOption {
      type = types.port;
      default = 8000;
      description = "Port to listen on.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Opens the port in the firewall. NixOS only.";
    };
    baseUrl = mkOption {
      type = types.nullOr (types.strMatching "https?://.+");
      default = null;
      example = "https://fleet.example.org";
      description = "The dashboard's own address, as users and agents see it.";
    };
    tlsCertificate = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/var/lib/acme/fleet.example.org/fullchain.pem";
      description = "Certificate and chain in PEM: the dashboard speaks TLS itself. It is read again when it changes, so the dashboard's user must be able to read it, for example by the group `acme`.";
    };
    tlsKey = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/var/lib/acme/fleet.example.org/key.pem";
      description = "Private key of `tlsCertificate`, in PEM.";
    };
    dataDir = mkOption {
      type = types.strMatching "/.+";
      default = "/var/lib/nixfleet";
      description = "Directory for the database and the secrets that the dashboard makes for itself. It belongs to the dashboard alone.";
    };
    user = mkOption {
      type = types.strMatching "[a-z_][a-z0-9_-]*";
      default = "nixfleet";
      description = "User that the dashboard runs as. It is made if the name is left as it is. NixOS only.";
    };
    group = mkOption {
      type = types.strMatching "[a-z_][a-z0-9_-]*";
      default = "nixfleet";
      description = "Group that the dashboard runs as. It is made if the name is left as it is. NixOS only.";
    };
    source = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "github:you/nixcfg";
      description = "The config repository: `github:owner/repo`, `gitea:https://forge/owner/repo`, a git URL or path, or the URL of a version.json.";
    };
    passwordHashFile = secret "the admin password's hash (argon2id, or bcrypt as NixFleet 3 had it); without it a password is made at the first start" "/run/secrets/nixfleet-password-hash";
    totpSecretFile = secret "the base32 secret of one-time codes" "/run/secrets/nixfleet-totp";
    sessionSecretFile = secret "the key of the login form's tokens; without it one is made" "/run/secrets/nixfleet-session";
    githubTokenFile = secret "a token for GitHub's API, for private repositories and for merging" "/run/secrets/nixfleet-github";
    giteaTokenFile = secret "a token for a Gitea or Forgejo, for private repositories and for merging" "/run/secrets/nixfleet-gitea";
    sshKeyFile = secret "the private key for git over ssh" "/run/secrets/nixfleet-ssh";
    agentTokenFile = secret "the shared enrolment token; without it each host needs a token of its own" "/run/secrets/nixfleet-agent";
    hookSecretFile = secret "the secret that webhooks are signed with" "/run/secrets/nixfleet-hook";
  };

  agent = {
    enable = mkEnableOption "the nixfleet agent on this machine";
    inherit
      package
      branch
      environment
      environmentFiles
      ;

    url = mkOption {
      type = types.nullOr (types.strMatching "(https?|wss?)://.+");
      default = null;
      example = "https://fleet.example.org";
      description = "The dashboard's address.";
    };
    caFile = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/etc/ssl/own-ca.pem";
      description = "Certificates in PEM to know the dashboard by, instead of those of the system.";
    };
    tokenFile = secret "this host's token, or the shared enrolment token" "/run/secrets/nixfleet-token";
    repoUrl = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "git@github.com:you/nixcfg.git";
      description = "The config repository. The agent keeps a clone of its own of it.";
    };
    repoDir = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/etc/nixos";
      description = "A clone that is there already, instead of `repoUrl`. Pull only brings it forward, as its owner, and is refused while it has changes or commits of its own.";
    };
    sshKeyFile = secret "the private key for git over ssh" "/etc/ssh/ssh_host_ed25519_key";
    interval = mkOption {
      type = types.ints.between 1 3600;
      default = 5;
      description = "Seconds between heartbeats.";
    };
    hostname = mkOption {
      type = types.nullOr types.str;
      default = null;
      defaultText = lib.literalMD "`networking.hostName`; with home-manager alone it has to be given";
      description = "This machine's name: that of its configuration in the flake.";
    };
    location = mkOption {
      type = types.nullOr (
        types.enum [
          "home"
          "work"
          "cloud"
        ]
      );
      default = null;
      description = "Where the machine is.";
    };
    deviceType = mkOption {
      type = types.nullOr (
        types.enum [
          "server"
          "desktop"
          "laptop"
          "gaming"
        ]
      );
      default = null;
      description = "What kind of machine it is.";
    };
    tags = mkOption {
      type = types.listOf (types.strMatching "[a-z0-9][a-z0-9._-]{0,39}");
      default = [ ];
      example = [
        "db"
        "canary"
      ];
      description = "Words by which the machine is found and chosen, for example for a rollout; at most 16. Others can be added on the dashboard.";
    };
    themeColor = mkOption {
      type = types.nullOr (types.strMatching "#[0-9a-fA-F]{6}");
      default = null;
      example = "#7aa2f7";
      description = "Colour of its row.";
    };
    tests = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether tests are on.";
      };
      autoRunAfterSwitch = mkOption {
        type = types.bool;
        default = true;
        description = "Whether tests run by themselves after a switch.";
      };
      timeout = mkOption {
        type = types.ints.between 1 3600;
        default = 60;
        description = "Seconds that one test may take.";
      };
    };
    checkPower = mkOption {
      type = types.bool;
      default = false;
      description = "Whether a battery below 20 % that is not charged is in the way of a switch. For laptops.";
    };
    guard = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether switches and rollbacks on NixOS are guarded: the system that ran before comes back unless the new one proves itself. macOS and home-manager have no guard.";
      };
      reboot = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the host reboots when the system that ran before does not come back otherwise.";
      };
      ignoreUnits = mkOption {
        type = types.listOf (types.strMatching "[^ ]+");
        default = [ ];
        example = [ "backup.service" ];
        description = "Units that may fail in a guarded switch.";
      };
      activationLimit = mkOption {
        type = types.ints.between 1 7200;
        default = 900;
        description = "Seconds that the activation of a guarded switch may take.";
      };
      window = mkOption {
        type = types.ints.between 1 3600;
        default = 120;
        description = "Seconds within which an activated system must be confirmed.";
      };
    };
    allowedSigners = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/etc/nixfleet/allowed-signers";
      description = "File with the ssh keys that may sign, in git's format of allowed signers: a pull takes only a head that one of them signed. Public keys may be in the store: `\"\${./allowed-signers}\"`.";
    };
    signersKeyring = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/etc/nixfleet/signers.gpg";
      description = "File with the gpg keys that may sign, exported or as a keybox: a pull takes only a head that one of them signed. Public keys may be in the store.";
    };
    rebuildFlags = mkOption {
      type = types.listOf (types.strMatching "[^ ]+");
      default = [ ];
      example = [ "--show-trace" ];
      description = "More arguments for nixos-rebuild or darwin-rebuild.";
    };
  };
}
