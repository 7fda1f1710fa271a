//! The data plane's own certificate: loaded at start, read again when a file changes, never half replaced.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::config::bootstrap::Tls;
use crate::id::Digest;

/// Largest certificate or key file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// The TLS set-up in force, and the files it came from.
pub struct Certificates {
    files: Tls,
    current: ArcSwap<ServerConfig>,
    loaded: Mutex<Digest>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A certificate set-up that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A file is missing or unreadable.
    #[error("TLS: cannot read `{file}`: {why}; `tls` under `listen` names it, and this user must be able to read it")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("TLS: `{file}` has {what}; `tls` under `listen` names it")]
    Content {
        /// Which file.
        file: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Certificate and key do not belong together, or the library refuses them.
    #[error("TLS: the certificate and key of `tls` under `listen` cannot be used together")]
    Refused(#[source] rustls::Error),
    /// The client CA cannot verify anybody.
    #[error("TLS: the client CA cannot be used: {0}")]
    ClientCa(String),
}

impl Certificates {
    /// Loads the files.
    ///
    /// # Errors
    /// [`BadTls`] naming the file and what is wrong with it.
    pub fn load(files: &Tls) -> Result<Self, BadTls> {
        let pem = Pem::read(files)?;
        let digest = pem.digest();
        let current = ArcSwap::from(Arc::new(pem.into_config(files)?));
        Ok(Self { files: files.clone(), current, loaded: Mutex::new(digest) })
    }

    /// Reads the files again; answers whether they were new. A bad set changes nothing.
    ///
    /// # Errors
    /// [`BadTls`]; the old set stays in force.
    pub fn reload(&self) -> Result<bool, BadTls> {
        let pem = Pem::read(&self.files)?;
        let digest = pem.digest();
        let mut loaded = self.loaded.lock();
        if digest == *loaded {
            return Ok(false);
        }
        self.current.store(Arc::new(pem.into_config(&self.files)?));
        *loaded = digest;
        Ok(true)
    }

    /// The set-up for the next connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

/// The files' bytes, read together.
struct Pem {
    cert: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Pem {
    fn read(files: &Tls) -> Result<Self, BadTls> {
        Ok(Self {
            cert: read(&files.cert)?,
            key: zeroize::Zeroizing::new(read(&files.key)?),
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn digest(&self) -> Digest {
        let parts = [self.cert.as_slice(), &self.key, self.client_ca.as_deref().unwrap_or_default()];
        let digests: Vec<u8> = parts.iter().flat_map(|part| Digest::of(part).0).collect();
        Digest::of(&digests)
    }

    fn into_config(self, files: &Tls) -> Result<ServerConfig, BadTls> {
        let content = |file: &Path, what| BadTls::Content { file: file.display().to_string(), what };
        let chain = certificates(&self.cert, &files.cert)?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| content(&files.key, "no private key in PEM form"))?;
        let builder = ServerConfig::builder();
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(file)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, file)? {
                    roots.add(certificate).map_err(|fault| BadTls::ClientCa(fault.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                    .build()
                    .map_err(|fault| BadTls::ClientCa(fault.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(BadTls::Refused)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would outlive a CA that was taken out of the bundle.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let content = |what| BadTls::Content { file: file.display().to_string(), what };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| content("a damaged certificate"))?;
    if found.is_empty() { Err(content("no certificate in PEM form")) } else { Ok(found) }
}

fn read(file: &Path) -> Result<Vec<u8>, BadTls> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(LARGEST_FILE).read_to_end(&mut bytes))
        .map_err(|why| BadTls::Unreadable { file: file.display().to_string(), why })?;
    Ok(bytes)
}
