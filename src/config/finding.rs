//! The words of `actions:` in a risk profile and of `risk.count(…)` in a rule: classes and finding types.
//!
//! A finding type is written as the records write it (`CREDIT_CARD`) or in lower case; `email_address` means `EMAIL`.
//! What this build detects is known to `risk`, far above this room; a test there holds the lists together.

/// What findings are classed as.
pub const CLASSES: [&str; 4] = ["personal_data", "contact_data", "credential", "prompt_injection"];

/// The fact that a model runs outside the organization: profiles treat it like a class, but no text has it in it.
pub const EXTERNAL_MODEL: &str = "external_model";

/// Every finding type that this build detects.
pub const TYPES: [&str; 15] = [
    "CREDIT_CARD",
    "IBAN",
    "US_SSN",
    "EMAIL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "GITHUB_FINE_GRAINED_PAT",
    "SLACK_TOKEN",
    "SLACK_WEBHOOK",
    "STRIPE_KEY",
    "ANTHROPIC_KEY",
    "OPENAI_KEY",
    "PRIVATE_KEY",
    "PROMPT_INJECTION",
];

/// Finding types of the contract that this build does not detect yet: a setting that names one would do nothing, so
/// it is refused.
pub const LATER: [&str; 122] = [
    "PHONE",
    "SWIFT_BIC",
    "BANK_ACCOUNT",
    "UK_SORT_ACCOUNT",
    "US_ROUTING",
    "CRYPTO_WALLET",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "IMEI",
    "VIN",
    "DATE_OF_BIRTH",
    "GPS_COORD",
    "PASSPORT_MRZ",
    "PASSPORT",
    "US_DRIVER_LICENSE",
    "UK_DRIVING_LICENCE",
    "MEDICAL_RECORD",
    "HEALTH_PLAN_ID",
    "LICENSE_PLATE",
    "US_ITIN",
    "US_NPI",
    "US_DEA",
    "US_MBI",
    "UK_NHS",
    "UK_NINO",
    "CA_SIN",
    "AU_TFN",
    "AU_ABN",
    "AU_ACN",
    "AU_MEDICARE",
    "IN_AADHAAR",
    "IN_PAN",
    "IN_GSTIN",
    "ES_DNI",
    "ES_NIE",
    "DE_TAX_ID",
    "DE_SOCIAL_SECURITY",
    "FR_NIR",
    "IT_FISCAL_CODE",
    "IT_VAT",
    "NL_BSN",
    "BE_NRN",
    "PL_PESEL",
    "PL_NIP",
    "SE_PERSONNUMMER",
    "FI_HETU",
    "NO_FNR",
    "DK_CPR",
    "PT_NIF",
    "CH_AHV",
    "BR_CPF",
    "BR_CNPJ",
    "MX_CURP",
    "AR_CUIT",
    "CL_RUT",
    "ZA_ID",
    "SG_NRIC",
    "KR_RRN",
    "CN_RESIDENT_ID",
    "JP_MY_NUMBER",
    "TH_ID",
    "TR_TCKN",
    "IL_ID",
    "RO_CNP",
    "CZ_RC",
    "IE_PPS",
    "BG_EGN",
    "HR_OIB",
    "PERSON_NAME",
    "STREET_ADDRESS",
    "GITLAB_TOKEN",
    "STRIPE_WEBHOOK_SECRET",
    "GOOGLE_API_KEY",
    "GOOGLE_OAUTH_SECRET",
    "GCP_SERVICE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_AD_SECRET",
    "HUGGINGFACE_TOKEN",
    "NPM_TOKEN",
    "PYPI_TOKEN",
    "SENDGRID_KEY",
    "TWILIO_KEY",
    "MAILGUN_KEY",
    "MAILCHIMP_KEY",
    "TELEGRAM_BOT_TOKEN",
    "DISCORD_TOKEN",
    "DISCORD_WEBHOOK",
    "JWT",
    "DB_CONNECTION_STRING",
    "BASIC_AUTH_URL",
    "DIGITALOCEAN_TOKEN",
    "DATABRICKS_TOKEN",
    "DOPPLER_TOKEN",
    "LINEAR_KEY",
    "NOTION_TOKEN",
    "SHOPIFY_TOKEN",
    "SQUARE_TOKEN",
    "VAULT_TOKEN",
    "GRAFANA_TOKEN",
    "HEROKU_KEY",
    "TERRAFORM_TOKEN",
    "NEWRELIC_KEY",
    "DATADOG_KEY",
    "SENTRY_TOKEN",
    "POSTMAN_KEY",
    "PLANETSCALE_TOKEN",
    "AGE_SECRET_KEY",
    "GROQ_KEY",
    "PERPLEXITY_KEY",
    "REPLICATE_TOKEN",
    "XAI_KEY",
    "ATLASSIAN_TOKEN",
    "FIGMA_TOKEN",
    "DOCKER_PAT",
    "AIRTABLE_PAT",
    "ONEPASSWORD_TOKEN",
    "CLOUDFLARE_TOKEN",
    "BEARER_TOKEN",
    "BASIC_AUTH_HEADER",
    "PASSWORD",
    "GENERIC_API_KEY",
    "CRYPTO_WALLET_KEY",
];

/// The word as records and profiles hold it; `None` for a word that is no class and no finding type of this build.
#[must_use]
pub fn canonical(word: &str) -> Option<&'static str> {
    if word == "email_address" {
        return Some("EMAIL");
    }
    let class = CLASSES.iter().chain([&EXTERNAL_MODEL]).find(|class| **class == word);
    class.or_else(|| spelt(&TYPES, word)).copied()
}

/// Whether the word is a finding type that a later build detects.
#[must_use]
pub fn is_later(word: &str) -> bool {
    spelt(&LATER, word).is_some()
}

fn spelt(types: &'static [&'static str], word: &str) -> Option<&'static &'static str> {
    let lower = word == word.to_ascii_lowercase();
    types.iter().find(|kind| **kind == word || (lower && kind.eq_ignore_ascii_case(word)))
}

/// Every spelling that [`canonical`] takes, each once.
pub fn spellings() -> impl Iterator<Item = String> {
    let classes = CLASSES.into_iter().chain([EXTERNAL_MODEL, "email_address"]).map(str::to_owned);
    classes.chain(both_cases(&TYPES).filter(|word| !CLASSES.contains(&word.as_str())))
}

/// Every spelling of the types that a later build detects.
pub fn later_spellings() -> impl Iterator<Item = String> {
    both_cases(&LATER)
}

fn both_cases(types: &'static [&'static str]) -> impl Iterator<Item = String> {
    types.iter().flat_map(|kind| [kind.to_ascii_lowercase(), (*kind).to_owned()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LATER, TYPES, canonical, is_later, later_spellings, spellings};

    #[test]
    fn every_spelling_has_one_meaning() {
        let mut seen = BTreeSet::new();
        for word in spellings() {
            assert!(canonical(&word).is_some() && !is_later(&word), "{word}");
            assert!(seen.insert(word.clone()), "{word} twice");
        }
        for word in later_spellings() {
            assert!(canonical(&word).is_none() && is_later(&word), "{word}");
            assert!(seen.insert(word.clone()), "{word} twice");
        }
        assert_eq!(canonical("credit_card"), Some("CREDIT_CARD"));
        assert_eq!(canonical("CREDIT_CARD"), Some("CREDIT_CARD"));
        assert_eq!(canonical("credential"), Some("credential"));
        assert_eq!(canonical("prompt_injection"), Some("prompt_injection"));
        assert_eq!(canonical("PROMPT_INJECTION"), Some("PROMPT_INJECTION"));
        assert_eq!(canonical("email_address"), Some("EMAIL"));
        assert_eq!(canonical("Credit_Card"), None);
        assert_eq!(canonical("colour"), None);
        assert!(TYPES.iter().chain(&LATER).all(|kind| *kind == kind.to_ascii_uppercase()));
    }
}
