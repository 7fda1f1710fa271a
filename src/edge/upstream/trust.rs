//! Whom an upstream's certificate has to come from: the configured CA file, or the platform's roots.
//!
//! The platform's roots are some hundred certificates: they are read when the first upstream needs them, once for all
//! upstreams, and never where every upstream is plaintext or has a CA file of its own.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::Verifier;

use super::BadUpstream;
use crate::id::UpstreamId;

/// Largest CA file that is read, in bytes.
const LARGEST_CA: u64 = 1 << 20;

/// The platform's roots, once somebody needs them.
#[derive(Debug, Default)]
pub(super) struct Roots(OnceLock<Arc<Verifier>>);

impl Roots {
    /// The TLS side of the client of one upstream.
    ///
    /// # Errors
    /// [`BadUpstream`] when the CA file or the platform's roots cannot be used.
    pub(super) fn client(&self, name: &UpstreamId, ca: Option<&Path>) -> Result<ClientConfig, BadUpstream> {
        let builder = ClientConfig::builder();
        let Some(file) = ca else {
            let verifier =
                self.platform(builder.crypto_provider()).map_err(|why| BadUpstream::Tls(name.clone(), why))?;
            // The name says that rustls's own check against given roots is replaced; the platform's verifier does as much.
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        };
        let bad = |why: String| BadUpstream::Ca { upstream: name.clone(), file: file.display().to_string(), why };
        let mut pem = Vec::new();
        File::open(file)
            .and_then(|file| file.take(LARGEST_CA).read_to_end(&mut pem))
            .map_err(|fault| bad(fault.to_string()))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|fault| bad(format!("{fault:?}")))?;
            roots.add(certificate).map_err(|fault| bad(fault.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it has no certificate in PEM form".to_owned()));
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn platform(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, rustls::Error> {
        if let Some(known) = self.0.get() {
            return Ok(Arc::clone(known));
        }
        let verifier = Arc::new(Verifier::new(Arc::clone(provider))?);
        Ok(Arc::clone(self.0.get_or_init(|| verifier)))
    }
}
