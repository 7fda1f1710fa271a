//! `portcullis keys`: gate keys. The secret is shown once and stored nowhere; the registry keeps its digest.

use aws_lc_rs::rand;
use clap::{Args, Subcommand};
use serde_json::json;

use super::screen::{printed, say, unusable};
use super::{End, Format};
use crate::id::{BadName, Digest, KeyId, TenantId};

/// Bytes of randomness in a key: 256 bits, so that its digest cannot be searched for.
const SECRET_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key: prints it once, with the entry for the tenant's policy file
    #[command(after_help = "Example:  portcullis keys new --tenant acme --expires 2027-01-01")]
    New(New),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// Whose key it is
    #[arg(long)]
    tenant: String,
    /// The key's public part; made up when left out
    #[arg(long)]
    id: Option<String>,
    /// The day from which it is not good any more (YYYY-MM-DD)
    #[arg(long, value_name = "DATE", value_parser = date)]
    expires: Option<chrono::NaiveDate>,
    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

fn date(text: &str) -> Result<chrono::NaiveDate, String> {
    text.parse().map_err(|_| "a date is written YYYY-MM-DD".to_owned())
}

/// No randomness to be had.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
struct NoRandomness;

impl Keys {
    pub(super) fn run(&self) -> End {
        match self {
            Self::New(new) => new.run(),
        }
    }
}

impl New {
    fn run(&self) -> End {
        let (tenant, id) = match self.names() {
            Ok(names) => names,
            Err(fault) => return unusable(&fault),
        };
        let Some(id) = id.or_else(|| random_hex(4).and_then(|hex| KeyId::parse(&format!("k{hex}")).ok())) else {
            return unusable(&NoRandomness);
        };
        let Some(secret) = random_hex(SECRET_BYTES) else { return unusable(&NoRandomness) };
        let key = format!("pcl_{id}_{secret}");
        let hash = Digest::of(key.as_bytes());
        let expires = self.expires.map(|day| day.to_string());
        printed(match self.format {
            Format::Json => say(json!({"tenant": tenant, "id": id, "key": key, "hash": hash, "expires": expires})),
            Format::Table => {
                let expiry = expires.map(|day| format!(", expires: {day}")).unwrap_or_default();
                say(format_args!(
                    "key (shown once, stored nowhere):\n\n  {key}\n\nadd to `keys:` in policies/tenants/{tenant}.yaml:\n\n  - {{id: {id}, hash: \"{hash}\", roles: [client]{expiry}}}"
                ))
            }
        })
    }

    fn names(&self) -> Result<(TenantId, Option<KeyId>), BadName> {
        Ok((TenantId::parse(&self.tenant)?, self.id.as_deref().map(KeyId::parse).transpose()?))
    }
}

fn random_hex(bytes: usize) -> Option<String> {
    let mut buffer = vec![0; bytes];
    rand::fill(&mut buffer).ok()?;
    Some(hex::encode(buffer))
}
