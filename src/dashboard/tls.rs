//! The dashboard's own TLS: a certificate from files, read anew when they change.

use super::config::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often is looked whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: when it was written, how long it is, and which
/// file it is.
type Stamp = [Option<(i64, i64, u64, u64)>; 2];

/// The certificate that is shown to whoever connects.
pub(super) struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// Of the files, before they were read first.
    first: Stamp,
}

impl Certificates {
    /// Reads the files. The error names the setting and says what was expected.
    pub(super) fn read(files: TlsFiles) -> Result<Arc<Self>, String> {
        let provider = Arc::new(ring::default_provider());
        let first = stamp(&files);
        let current = RwLock::new(Arc::new(load(&files, &provider)?));
        Ok(Arc::new(Self { files, provider, current, first }))
    }

    /// What a server needs: this certificate, and HTTP/1.1, which WebSockets begin with. A reverse
    /// proxy speaks HTTP/2, where that is wanted.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, String> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS cannot be spoken: {error}"))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Reads the files again whenever they change. What cannot be read changes nothing.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut seen = self.first;
        loop {
            actix_rt::time::sleep(LOOK_EVERY).await;
            let now = stamp(&self.files);
            if now == seen {
                continue;
            }
            seen = now;
            match load(&self.files, &self.provider) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    log::info!("the certificate changed and was read again");
                }
                Err(why) => log::error!("the certificate of before is kept: {why}"),
            }
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    let of = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
    };
    [of(&files.certificate), of(&files.key)]
}

fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let TlsFiles { certificate, key } = files;
    let unread = |name: &str, what: &str, path: &Path, why: &dyn fmt::Display| {
        format!("NIXFLEET_TLS_{name}: expected {what} in PEM, {}: {why}", path.display())
    };
    let bad_chain =
        |why: &dyn fmt::Display| unread("CERT", "a certificate with its chain", certificate, why);
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|why| bad_chain(&why))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|why| bad_chain(&why))?;
    if chain.is_empty() {
        return Err(bad_chain(&"there is none in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|why| unread("KEY", "a private key", key, &why))?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|why| unread("KEY", "the key of the certificate", key, &why))
}
