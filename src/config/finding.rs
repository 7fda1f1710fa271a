//! The words of `actions:` in a risk profile: classes and finding types.
//!
//! A finding type is written as the records write it (`CREDIT_CARD`) or in lower case; `email_address` means `EMAIL`.

/// What findings and facts are classed as.
pub const CLASSES: [&str; 5] = ["personal_data", "contact_data", "external_model", "credential", "prompt_injection"];

/// Every finding type.
pub const TYPES: [&str; 136] = [
    "EMAIL",
    "PHONE",
    "CREDIT_CARD",
    "IBAN",
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
    "US_SSN",
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
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "GITHUB_FINE_GRAINED_PAT",
    "GITLAB_TOKEN",
    "SLACK_TOKEN",
    "SLACK_WEBHOOK",
    "STRIPE_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "OPENAI_KEY",
    "ANTHROPIC_KEY",
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
    "PRIVATE_KEY",
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

/// The word as records and profiles hold it; `None` for a word that is no class and no finding type.
#[must_use]
pub fn canonical(word: &str) -> Option<&'static str> {
    if word == "email_address" {
        return Some("EMAIL");
    }
    let class = CLASSES.iter().find(|class| **class == word);
    let lower = word == word.to_ascii_lowercase();
    let kind = || TYPES.iter().find(|kind| **kind == word || (lower && kind.eq_ignore_ascii_case(word)));
    class.or_else(kind).copied()
}

/// Every spelling that [`canonical`] takes.
pub fn spellings() -> impl Iterator<Item = String> {
    let classes = CLASSES.into_iter().chain(["email_address"]).map(str::to_owned);
    classes.chain(TYPES.into_iter().flat_map(|kind| [kind.to_ascii_lowercase(), kind.to_owned()]))
}

#[cfg(test)]
mod tests {
    use super::{TYPES, canonical, spellings};

    #[test]
    fn every_spelling_has_one_meaning() {
        for word in spellings() {
            assert!(canonical(&word).is_some(), "{word}");
        }
        assert_eq!(canonical("credit_card"), Some("CREDIT_CARD"));
        assert_eq!(canonical("CREDIT_CARD"), Some("CREDIT_CARD"));
        assert_eq!(canonical("credential"), Some("credential"));
        assert_eq!(canonical("email_address"), Some("EMAIL"));
        assert_eq!(canonical("Credit_Card"), None);
        assert_eq!(canonical("colour"), None);
        assert!(TYPES.iter().all(|kind| *kind == kind.to_ascii_uppercase()));
    }
}
