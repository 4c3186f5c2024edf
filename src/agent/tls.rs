//! The client for the dashboard. The certificates of the machine are read only where TLS is spoken:
//! they take more memory than all the rest of the agent.

use awc::error::{ConnectError, SendRequestError, WsClientError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A client that gives up after so long, fit for this address. It knows the dashboard by the
/// certificates in `ca`, or by those of the machine.
///
/// # Errors
///
/// In words: TLS is spoken there and there are no certificates.
pub(crate) fn client(
    url: &str,
    ca: Option<&Path>,
    timeout: Duration,
) -> Result<awc::Client, String> {
    let connector = awc::Connector::new();
    let connector = if url.starts_with("wss://") || url.starts_with("https://") {
        connector.rustls_0_23(Arc::new(config(ca)?))
    } else {
        connector
    };
    let builder = awc::Client::builder().connector(connector);
    Ok(builder.timeout(timeout).disable_redirects().finish())
}

/// Why there is no connection, in words. Of a certificate that is not taken, also what helps.
pub(crate) fn why(error: &WsClientError) -> String {
    let WsClientError::SendRequest(SendRequestError::Connect(ConnectError::Io(io))) = error else {
        return error.to_string();
    };
    match io.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "the dashboard's certificate is not taken ({why:?}): it must be valid, for the name in \
             NIXFLEET_URL, and given out by an authority of this machine or of NIXFLEET_CA"
        ),
        _ => error.to_string(),
    }
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = ClientConfig::builder();
    let mut config = match ca {
        Some(file) => builder.dangerous().with_custom_certificate_verifier(Given::read(file)?),
        None => builder.with_root_certificates(system_roots()?),
    }
    .with_no_client_auth();
    // A WebSocket begins as HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("this machine has no certificates to know the dashboard by{why}"));
    }
    Ok(roots)
}

/// Certificates that the operator gave: each is an authority, and the one that the dashboard itself
/// shows is taken as it is. The usual rules have no place for a server that signed its own
/// certificate, which is what one command makes.
#[derive(Debug)]
struct Given {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Given {
    fn read(file: &Path) -> Result<Arc<Self>, String> {
        let wrong = |why: &dyn std::fmt::Display| {
            format!("NIXFLEET_CA: expected certificates in PEM, {}: {why}", file.display())
        };
        let mut roots = RootCertStore::empty();
        let mut certificates = Vec::new();
        for one in CertificateDer::pem_file_iter(file).map_err(|why| wrong(&why))? {
            let one = one.map_err(|why| wrong(&why))?;
            roots.add(one.clone()).map_err(|why| wrong(&why))?;
            certificates.push(one);
        }
        if roots.is_empty() {
            return Err(wrong(&"there is none in it"));
        }
        let authorities = WebPkiServerVerifier::builder(Arc::new(roots)).build();
        Ok(Arc::new(Self { certificates, authorities: authorities.map_err(|why| wrong(&why))? }))
    }
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|given| given == shown) {
            verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(shown, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
