//! Small changes to a site's files before it opens, for `Site::with`.

use std::fs;
use std::path::Path;

/// Replaces a text that must be there.
pub fn replace(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Adds top-level keys to the bootstrap config.
pub fn add(dir: &Path, yaml: &str) {
    let path = dir.join("portcullis.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}\n{yaml}\n")).unwrap();
}

/// Adds keys to the one upstream, such as `timeouts: {idle: 100ms}`.
pub fn upstream(dir: &Path, yaml: &str) {
    let key = "    api_key: sk-upstream-credential\n";
    replace(dir, "portcullis.yaml", key, &format!("{key}    {yaml}\n"));
}

/// Points the one upstream elsewhere.
pub fn aim(dir: &Path, url: &str) {
    let path = dir.join("portcullis.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .map(|line| if line.starts_with("    url:") { format!("    url: {url}\n") } else { format!("{line}\n") });
    fs::write(&path, lines.collect::<String>()).unwrap();
}

/// Gives acme other limits.
pub fn limits(dir: &Path, yaml: &str) {
    let old = "limits: {requests_per_minute: 1000000, tokens_per_minute: 1000000000, concurrent: 1024}";
    replace(dir, "policies/tenants/acme.yaml", old, &format!("limits: {yaml}"));
}
