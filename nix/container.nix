# The dashboard as an image of layers: `nix build .#container`, then `docker load < result`.
{
  lib,
  cacert,
  dockerTools,
  gitMinimal,
  openssh,
  nixfleet,
}:

let
  data = "/var/lib/nixfleet";
in
dockerTools.buildLayeredImage {
  name = "nixfleet";
  tag = nixfleet.version;

  contents = [
    cacert
    dockerTools.fakeNss
    gitMinimal
    openssh
  ];

  # The directory belongs to the user that the dashboard runs as.
  fakeRootCommands = ''
    mkdir -p .${data} tmp
    chown 10001:10001 .${data}
    chmod 1777 tmp
  '';

  config = {
    Entrypoint = [ (lib.getExe nixfleet) ];
    Cmd = [ "--dashboard" ];
    User = "10001:10001";
    Env = [
      "HOME=${data}"
      "NIXFLEET_DATA_DIR=${data}"
      "NIXFLEET_LISTEN=0.0.0.0:8000"
      "PATH=/bin"
      "SSL_CERT_FILE=${cacert}/etc/ssl/certs/ca-bundle.crt"
    ];
    ExposedPorts."8000/tcp" = { };
    Volumes.${data} = { };
  };
}
