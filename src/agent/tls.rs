//! The client for the dashboard. The certificates of the machine are read only where TLS is spoken:
//! they take more memory than all the rest of the agent.

use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// A client that gives up after so long, fit for this address.
///
/// # Errors
///
/// In words: TLS is spoken there and this machine has no certificates.
pub(crate) fn client(url: &str, timeout: Duration) -> Result<awc::Client, String> {
    let connector = awc::Connector::new();
    let connector = if url.starts_with("wss://") || url.starts_with("https://") {
        connector.rustls_0_23(Arc::new(config()?))
    } else {
        connector
    };
    let builder = awc::Client::builder().connector(connector);
    Ok(builder.timeout(timeout).disable_redirects().finish())
}

fn config() -> Result<ClientConfig, String> {
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("this machine has no certificates to know the dashboard by{why}"));
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // A WebSocket begins as HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
