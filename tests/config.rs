//! Config formats from the outside: bad files with the faults they must have, good ones with what they must say.
//!
//! `config_cases/<format>-<what>.yaml` are data. A file ends in comments `# fault LINE:COLUMN MESSAGE` that list all
//! its faults in order; a file without any must be read without fault. `# env NAME=VALUE` sets a variable.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::config::bootstrap::{Address, Auth, Config, Durability};
use portcullis::config::fault::Fault;
use portcullis::config::format;
use portcullis::config::reading::Reading;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_cases")
}

fn bootstrap(path: &Path, text: &str, env: &HashMap<String, String>) -> Result<Config, Vec<Fault>> {
    let look = |name: &str| env.get(name).cloned();
    let all = env.iter().map(|(name, value)| (name.clone(), value.clone()));
    Config::read(path, text.as_bytes(), &look, all).map_err(|faults| faults.into_iter().collect())
}

/// The faults of a file, by the format that its name begins with.
fn faults(path: &Path, text: &str, env: &HashMap<String, String>) -> Vec<Fault> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let format = name.split('-').next().unwrap();
    if format == "bootstrap" {
        return bootstrap(path, text, env).err().unwrap_or_default();
    }
    let mut reading = match Reading::open(name, text.as_bytes()) {
        Ok(reading) => reading,
        Err(fault) => return vec![*fault],
    };
    match format {
        "model" => drop(format::model::read(&mut reading)),
        "prompt" => drop(format::prompt::read(&mut reading)),
        "tenant" => drop(format::tenant::read(&mut reading)),
        "organization" => drop(format::organization::read(&mut reading)),
        "rules" => drop(format::rules::read(&mut reading)),
        "risk" => drop(format::risk::read(&mut reading)),
        "people" => drop(format::people::read(&mut reading)),
        other => panic!("{name}: `{other}` is no format"),
    }
    let mut faults: Vec<Fault> = reading.close().collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults
}

#[test]
fn every_case_has_exactly_its_faults() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = |prefix: &'static str| text.lines().filter_map(move |line| line.strip_prefix(prefix));
        let expected: Vec<String> = lines("# fault ").map(str::to_owned).collect();
        let env =
            lines("# env ").filter_map(|l| l.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let found: Vec<String> = faults(&path, &text, &env)
            .iter()
            .map(|fault| match fault.line {
                0 => format!("{} {}", fault.file, fault.message),
                _ => format!("{}:{} {}", fault.line, fault.column, fault.message),
            })
            .collect();
        seen += 1;
        if found != expected {
            let shown: Vec<String> = found.iter().map(|line| format!("# fault {line}")).collect();
            wrong.push(format!("{}\n  expected {expected:#?}\n  found\n{}", path.display(), shown.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(seen >= 25, "only {seen} cases were found");
}

fn config(text: &str) -> Config {
    match bootstrap(Path::new("/etc/portcullis/portcullis.yaml"), text, &HashMap::new()) {
        Ok(config) => config,
        Err(faults) => panic!("{faults:#?}"),
    }
}

#[test]
fn a_config_that_names_only_upstreams_has_the_documented_defaults() {
    let config = config("upstreams: {openai: {url: https://api.openai.com}}\n");
    assert_eq!(config.listen.address, Address::Tcp("127.0.0.1:4100".parse().unwrap()));
    assert_eq!(config.admin, "127.0.0.1:4101".parse().unwrap());
    assert_eq!(config.state, Path::new("/etc/portcullis/./var"));
    assert_eq!(config.policies, Path::new("/etc/portcullis/./policies"));
    assert_eq!(config.audit.durability, Durability::Group);
    assert_eq!((config.audit.flood_threshold, config.audit.queue, config.audit.segment_bytes), (200, 8192, 64 << 20));
    assert_eq!((config.limits.body_limit_bytes, config.limits.body_budget_bytes), (10 << 20, 256 << 20));
    assert_eq!((config.limits.header_limit_bytes, config.limits.connections), (64 << 10, 10_000));
    assert_eq!(config.limits.header_timeout, Duration::from_secs(10));
    assert_eq!(config.limits.body_timeout, Duration::from_mins(1));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(75));
    assert_eq!((config.workers, config.drain), (None, Duration::from_secs(30)));
    let upstream = config.upstreams.values().next().unwrap();
    assert_eq!((upstream.breaker.failures, upstream.breaker.open_for), (5, Duration::from_secs(30)));
    assert_eq!(upstream.retries, 1);
    let timeouts = upstream.timeouts;
    assert_eq!((timeouts.connect, timeouts.first_byte), (Duration::from_secs(2), Duration::from_mins(1)));
    assert_eq!((timeouts.idle, timeouts.total), (Duration::from_mins(1), Duration::from_mins(10)));
    assert!(upstream.api_key.is_none() && upstream.auth.is_none());
}

#[test]
fn the_long_form_of_listen_has_tls_and_may_leave_loopback() {
    let config = config(
        "listen: {address: 0.0.0.0:4100, tls: {cert: c.pem, key: /k.pem, client_ca: ca.pem}}\n\
         upstreams: {a: {url: http://10.0.0.1:8000/v1, auth: x-api-key, api_key: \"k\"}}\n",
    );
    let tls = config.listen.tls.unwrap();
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("/etc/portcullis/c.pem"), Path::new("/k.pem")));
    let upstream = config.upstreams.values().next().unwrap();
    assert_eq!((upstream.url.path(), upstream.auth), ("/v1", Some(Auth::XApiKey)));
    assert_eq!(upstream.api_key.as_ref().unwrap().expose(), "k");
}

#[test]
fn a_unix_socket_is_relative_to_the_file() {
    let config = config("listen: \"unix:run/gate.sock\"\nupstreams: {a: {url: http://localhost}}\n");
    assert_eq!(config.listen.address, Address::Unix("/etc/portcullis/run/gate.sock".into()));
}

#[test]
fn variables_override_keys_and_make_missing_maps() {
    let env: HashMap<String, String> = [
        ("PORTCULLIS__AUDIT__DURABILITY", "sync"),
        ("PORTCULLIS__LIMITS__BODY_LIMIT", "1MiB"),
        ("PORTCULLIS__LISTEN", "127.0.0.1:9"),
        ("PORTCULLIS__UPSTREAMS__AZURE_EU__API_KEY", "sk-from-env"),
        ("PORTCULLIS__UPSTREAMS__AZURE_EU__RETRIES", "0"),
        ("PORTCULLIS_USER", "carol"),
        ("HOME", "/"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let text = "listen: 127.0.0.1:1\nupstreams: {azure-eu: {url: https://x.example, api_key: a}}\n";
    let config = bootstrap(Path::new("p.yaml"), text, &env).unwrap();
    assert_eq!(config.audit.durability, Durability::Sync);
    assert_eq!(config.limits.body_limit_bytes, 1 << 20);
    assert_eq!(config.listen.address, Address::Tcp("127.0.0.1:9".parse().unwrap()));
    let upstream = config.upstreams.values().next().unwrap();
    assert_eq!((upstream.api_key.as_ref().unwrap().expose(), upstream.retries), ("sk-from-env", 0));
}

#[test]
fn no_secret_shows_in_what_is_rendered_of_a_bad_config() {
    let env: HashMap<String, String> =
        [("KEY", "FROM-ENV-S3CR3T with blanks"), ("PORTCULLIS__UPSTREAMS__A__URL", "https://u:S3CR3T@h")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    let text = "upstreams:\n  a: {url: http://x, api_key: ${KEY}}\n  b: {url: \"https://me:S3CR3T@host\", api_kee: S3CR3T}\n\
                shared_state: {redis: \"redis://:S3CR3T@host\"}\n";
    for text in [text.replace("${KEY}", "\"${KEY}\""), text.to_owned()] {
        let faults = bootstrap(Path::new("p.yaml"), &text, &env).unwrap_err();
        assert!(!faults.is_empty());
        for fault in faults {
            let all = format!("{fault} {} {fault:?}", fault.render(false));
            assert!(!all.contains("S3CR3T"), "{all}");
        }
    }
}

#[test]
fn a_missing_config_file_is_a_fault() {
    let faults = Config::load(Path::new("/nowhere/portcullis.yaml"), &|_| None, []).unwrap_err();
    assert!(faults.to_string().starts_with("/nowhere/portcullis.yaml: the file cannot be read"));
}
