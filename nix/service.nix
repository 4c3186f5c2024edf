# What both modules make of the options: variables, secrets, and what must hold.
{
  lib,
  cfg,
  hostName,
}:

let
  text =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  given = lib.filterAttrs (_: value: value != null);
  variables = attrs: lib.mapAttrs (_: text) (given attrs);

  secretName = name: builtins.match "NIXFLEET_(.*_)?(TOKEN|SECRET|PASSWORD_HASH)" name != null;
  inStore = path: path != null && lib.hasPrefix "${builtins.storeDir}/" path;

  common =
    role: own:
    map (name: {
      assertion = !(secretName name);
      message = "services.nixfleet.${role}.settings.${name}: a secret must not stand here, it would be in the store. Use the option that takes a file.";
    }) (lib.attrNames own.settings)
    ++ lib.mapAttrsToList (name: path: {
      assertion = cfg.allowSecretsInStore || !(inStore path);
      message = "services.nixfleet.${role}.${name}: ${toString path} is in the Nix store, where everybody can read it. Name a file outside of it, for example of sops-nix or agenix.";
    }) (given (lib.filterAttrs (name: _: lib.hasSuffix "File" name) own));
in
{
  dashboard =
    let
      own = cfg.dashboard;
    in
    {
      environment =
        variables {
          NIXFLEET_LISTEN = "${
            if lib.hasInfix ":" own.listenAddress then "[${own.listenAddress}]" else own.listenAddress
          }:${toString own.port}";
          NIXFLEET_DATA_DIR = own.dataDir;
          NIXFLEET_BASE_URL = own.baseUrl;
          NIXFLEET_SOURCE = own.source;
          NIXFLEET_BRANCH = own.branch;
        }
        // variables own.settings;

      # Variable and file of each secret.
      secrets = given {
        NIXFLEET_PASSWORD_HASH_FILE = own.passwordHashFile;
        NIXFLEET_TOTP_SECRET_FILE = own.totpSecretFile;
        NIXFLEET_SESSION_SECRET_FILE = own.sessionSecretFile;
        NIXFLEET_GITHUB_TOKEN_FILE = own.githubTokenFile;
        NIXFLEET_AGENT_TOKEN_FILE = own.agentTokenFile;
        NIXFLEET_HOOK_SECRET_FILE = own.hookSecretFile;
      };

      assertions = common "dashboard" own ++ [
        {
          assertion = own.source != null || own.settings ? NIXFLEET_SOURCE;
          message = "services.nixfleet.dashboard.source must be set: the config repository, for example \"github:you/nixcfg\".";
        }
        {
          assertion =
            !(
              own.openFirewall
              && lib.elem own.listenAddress [
                "127.0.0.1"
                "::1"
                "localhost"
              ]
            );
          message = "services.nixfleet.dashboard.openFirewall opens nothing while listenAddress is ${own.listenAddress}. Set listenAddress, or put a reverse proxy in front of it.";
        }
      ];
    };

  agent =
    let
      own = cfg.agent;
    in
    {
      environment =
        variables {
          NIXFLEET_URL = own.url;
          NIXFLEET_REPO_URL = own.repoUrl;
          NIXFLEET_REPO_DIR = own.repoDir;
          NIXFLEET_BRANCH = own.branch;
          # Jobs of their own read it too, so it is no credential of the agent's unit.
          NIXFLEET_SSH_KEY = own.sshKeyFile;
          NIXFLEET_INTERVAL = own.interval;
          NIXFLEET_HOSTNAME = if own.hostname != null then own.hostname else hostName;
          NIXFLEET_LOCATION = own.location;
          NIXFLEET_DEVICE_TYPE = own.deviceType;
          NIXFLEET_THEME_COLOR = own.themeColor;
          NIXFLEET_TESTS_ENABLED = own.tests.enable;
          NIXFLEET_TESTS_AUTO_RUN = own.tests.autoRunAfterSwitch;
          NIXFLEET_TEST_TIMEOUT = own.tests.timeout;
          NIXFLEET_REBUILD_FLAGS =
            if own.rebuildFlags == [ ] then null else lib.concatStringsSep " " own.rebuildFlags;
        }
        // variables own.settings;

      secrets = given { NIXFLEET_TOKEN_FILE = own.tokenFile; };

      assertions = common "agent" own ++ [
        {
          assertion = own.url != null;
          message = "services.nixfleet.agent.url must be set: the dashboard's address, for example \"https://fleet.example.org\".";
        }
        {
          assertion = own.tokenFile != null;
          message = "services.nixfleet.agent.tokenFile must be set: the file with this host's token, which the dashboard shows once when the host is added.";
        }
        {
          assertion = own.repoUrl != null || own.repoDir != null;
          message = "services.nixfleet.agent.repoUrl must be set: the config repository, for example \"git@github.com:you/nixcfg.git\".";
        }
        {
          assertion = !(own.repoUrl != null && own.repoDir != null);
          message = "services.nixfleet.agent.repoUrl and repoDir exclude each other: the agent clones the one, or uses the other.";
        }
      ];
    };
}
