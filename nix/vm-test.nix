# One dashboard and two agents in virtual machines: they come online by themselves.
{ module }:

let
  agent =
    { pkgs, ... }:
    {
      imports = [ module ];
      services.nixfleet.agent = {
        enable = true;
        url = "http://dashboard:8000";
        tokenFile = "${pkgs.writeText "token" "token-of-the-test"}";
        repoUrl = "/srv/config";
      };
    };
in
{
  name = "nixfleet";
  nodes = {
    dashboard =
      { pkgs, ... }:
      {
        imports = [ module ];
        services.nixfleet.dashboard = {
          enable = true;
          listenAddress = "0.0.0.0";
          openFirewall = true;
          source = "/srv/config";
          agentTokenFile = "${pkgs.writeText "token" "token-of-the-test"}";
        };
      };
    one = agent;
    two = agent;
  };
  # Secrets of a test may lie in the store.
  defaults.services.nixfleet.allowSecretsInStore = true;
  testScript = ''
    dashboard.wait_for_unit("nixfleet-dashboard.service")
    dashboard.wait_for_open_port(8000)
    dashboard.succeed("curl --fail http://localhost:8000/health")
    for machine in [one, two]:
        machine.wait_for_unit("nixfleet-agent.service")
    dashboard.wait_until_succeeds("journalctl -u nixfleet-dashboard | grep 'one: agent connected'")
    dashboard.wait_until_succeeds("journalctl -u nixfleet-dashboard | grep 'two: agent connected'")
  '';
}
