//! Rules as a whole: what they mean, what is refused at load, how they add up.

use proptest::prelude::*;

use super::program::Trouble;
use super::{Facts, MaxTokens, Phase, Risk, RuleSource, Rules, check};
use crate::call::Metadata;
use crate::config::policy::{ModelFile, RiskLevel, RuleAction, RuleEntry, RuleScope, Status};
use crate::docket::{Binding, CheckVerdict, PromptUse, Role};
use crate::id::{ModelId, ModelVersion, PromptId, RuleId, UpstreamId};
use crate::reason::Reason;

fn model() -> ModelFile {
    ModelFile {
        model: ModelId::parse("gpt-4o-mini").unwrap(),
        version: ModelVersion::parse("2024-07-18").unwrap(),
        upstream: UpstreamId::parse("sim").unwrap(),
        upstream_model: None,
        aliases: Vec::new(),
        operations: None,
        status: Status::Approved,
        risk_level: RiskLevel::Limited,
        external: true,
        owner: None,
        max_output_tokens: Some(16384),
        environments: None,
        price: None,
        evaluations: Vec::new(),
        approval: None,
        notes: std::collections::BTreeMap::new(),
    }
}

fn counts(name: &str) -> u64 {
    match name {
        "personal_data" => 3,
        "EMAIL" => 1,
        _ => 0,
    }
}

/// Asks `judge` about one well-known call.
fn with_facts<T>(judge: impl FnOnce(&Facts<'_>) -> T) -> T {
    let model = model();
    let prompt = PromptUse { id: PromptId::parse("support-triage").unwrap(), version: 3, binding: Binding::Matched };
    let declared = r#"{"intent":"triage","urgent":true,"amount":-7,"flags":["gdpr","psd2"],"with-dash":1}"#;
    let metadata = Metadata::read(declared.as_bytes()).unwrap();
    judge(&Facts {
        tenant: "acme",
        organization: Some("acme-bank"),
        environment: Some("prod"),
        key: "k1",
        roles: &[Role::Client, Role::ModelOwner],
        model: &model,
        prompt: Some(&prompt),
        operation: "chat",
        dialect: "openai",
        stream: true,
        max_tokens: MaxTokens::Named(800),
        metadata: &metadata,
        risk: Some(Risk { score: 70, counts: &counts }),
    })
}

fn holds(source: &str) -> Result<bool, Trouble> {
    let checked = check::compile(source).unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    with_facts(|facts| checked.program.holds(facts))
}

#[test]
fn expressions_mean_what_cel_says() {
    for (source, expected) in [
        (r#"tenant.id == "acme" && tenant.organization == 'acme-bank' && tenant.environment != "test""#, true),
        (r#"principal.key == "k1" && "client" in principal.roles && "model_owner" in principal.roles"#, true),
        (r#""admin" in principal.roles"#, false),
        (r#"model.name == "gpt-4o-mini" && model.version < "2025" && model.upstream == "sim""#, true),
        (r#"model.status == "approved" && model.risk_level in ["limited", "high",]"#, true),
        ("model.external && request.stream", true),
        ("!model.external || !request.stream", false),
        (r#"prompt.id == "support-triage" && prompt.version >= 3 && prompt.binding == "matched""#, true),
        (r#"request.operation == "audio""#, false),
        (r#"request.dialect in ["anthropic"]"#, false),
        ("request.max_tokens > 799 && request.max_tokens <= 0x320", true),
        ("risk.score >= 70 && risk.score < 71", true),
        (r#"risk.count("personal_data") == 3 && risk.count("credential") == 0"#, true),
        (r#"risk.count("email_address") == 1 && risk.count("email") == 1 && risk.count("EMAIL") == 1"#, true),
        (r#"metadata.intent == "triage" && metadata["with-dash"] == 1"#, true),
        ("metadata.urgent", true),
        ("!metadata.urgent", false),
        ("metadata.amount < 0 && -metadata.amount == 7 && metadata.amount == -7", true),
        (r#""gdpr" in metadata.flags && !("hipaa" in metadata.flags)"#, true),
        (r#"metadata.intent in ["a", "triage"]"#, true),
        ("has(metadata.intent) && !has(metadata.other) && has(metadata[\"with-dash\"])", true),
        ("has(prompt.id) && has(request.max_tokens) && has(tenant.id)", true),
        ("false || true && false", false),
        ("(false || true) && !false", true),
        ("1 in [1, 2] && !(3 in [])", true),
        (r"r'\d' == '\\d' // a comment", true),
    ] {
        assert_eq!(holds(source), Ok(expected), "{source}");
    }
}

#[test]
fn an_error_is_absorbed_by_what_decides_and_by_nothing_else() {
    for (source, expected) in [
        ("metadata.other == 1", Err(Trouble::Absent)),
        ("!(metadata.other == 1)", Err(Trouble::Absent)),
        ("metadata.other == 1 && false", Ok(false)),
        ("false && metadata.other == 1", Ok(false)),
        ("metadata.other == 1 && true", Err(Trouble::Absent)),
        ("metadata.other == 1 || true", Ok(true)),
        ("true || metadata.other == 1", Ok(true)),
        ("metadata.other == 1 || false", Err(Trouble::Absent)),
        ("has(metadata.other) && metadata.other == 1", Ok(false)),
        ("metadata.intent == 1", Err(Trouble::Type)),
        ("metadata.intent != 1", Err(Trouble::Type)),
        ("metadata.intent", Err(Trouble::Type)),
        ("metadata.urgent < metadata.urgent", Err(Trouble::Type)),
        ("metadata.intent in [1]", Err(Trouble::Type)),
        (r#""x" in metadata.intent"#, Err(Trouble::Type)),
        ("-metadata.intent == 1", Err(Trouble::Type)),
    ] {
        assert_eq!(holds(source), expected, "{source}");
    }
}

#[test]
fn what_is_optional_reads_as_empty_and_an_unbounded_output_as_endless() {
    let model = ModelFile { max_output_tokens: None, ..model() };
    let none = Metadata::default();
    let bare = Facts {
        tenant: "acme",
        organization: None,
        environment: None,
        key: "k1",
        roles: &[],
        model: &model,
        prompt: None,
        operation: "chat",
        dialect: "openai",
        stream: false,
        max_tokens: MaxTokens::Unnamed(None),
        metadata: &none,
        risk: None,
    };
    for source in [
        r#"tenant.organization == "" && tenant.environment == "" && !has(tenant.organization)"#,
        r#"prompt.id == "" && prompt.version == 0 && prompt.binding == "" && !has(prompt.id)"#,
        "request.max_tokens > 1000000 && !has(request.max_tokens)",
    ] {
        assert_eq!(check::compile(source).unwrap().program.holds(&bare), Ok(true), "{source}");
    }
    let embedding = Facts { max_tokens: MaxTokens::NoOutput, ..bare };
    assert_eq!(check::compile("request.max_tokens == 0").unwrap().program.holds(&embedding), Ok(true));
    assert_eq!(check::compile("risk.score == 0").unwrap().program.holds(&bare), Err(Trouble::Absent));
}

#[test]
fn a_bad_rule_is_refused_at_load_with_its_place_and_a_hint() {
    for (source, at, part) in [
        ("tenant.ids == 'a'", 0, "did you mean `tenant.id`?"),
        ("true && modle.external", 8, "did you mean `model.external`?"),
        ("weather == 1", 0, "`weather` is not a name"),
        ("tenant == 'a'", 0, "`tenant` has no value of its own"),
        ("metadata == 'a'", 0, "`metadata` has no value of its own"),
        ("metadata.a.b == 'a'", 0, "not a name"),
        ("tenant.id", 0, "a rule needs a bool, and this is a string"),
        ("1 && true", 0, "`&&` needs a bool"),
        ("!risk.score", 1, "`!` needs a bool"),
        ("tenant.id == 1", 10, "`==` compares a string with an int"),
        ("model.external < true", 0, "`<` does not compare a bool"),
        ("principal.roles == 'a'", 0, "does not compare a list"),
        ("model.risk_level == \"hihg\"", 20, "did you mean `high`?"),
        ("\"aproved\" != model.status", 0, "did you mean `approved`?"),
        ("\"superuser\" in principal.roles", 0, "none of its values"),
        ("model.status in [\"approved\", \"denied\"]", 29, "none of its values"),
        ("1 in principal.roles", 2, "in no list of strings"),
        ("tenant.id in tenant.organization", 13, "`in` needs a list"),
        ("tenant.id in [1]", 14, "an int in a list for a string"),
        ("metadata.a in [1, \"a\"]", 18, "a string in a list for an int"),
        ("tenant.id in [tenant.id]", 14, "literals only"),
        ("[1] == 1", 0, "only after `in`"),
        ("risk.count(personal_data) > 0", 0, "as a string"),
        ("risk.count(\"personal_dta\") > 0", 11, "no finding type or class; did you mean `personal_data`?"),
        ("risk.count(\"CREDIT_CRAD\") > 0", 11, "did you mean `CREDIT_CARD`?"),
        ("risk.count(\"a b\") > 0", 11, "`a b` is no finding type or class"),
        ("true || risk.count('PASSPORT') > 0", 19, "not detected by this build yet"),
        ("risk.count(\"external_model\") > 0", 11, "ask `model.external`"),
        ("risk.count > 0", 0, "is asked with a name"),
        ("tenant.id.startsWith(\"a\")", 0, "not a function"),
        ("haz(metadata.a)", 0, "not a function"),
        ("has(1)", 0, "`has` takes one name"),
        ("has(tenant.x)", 4, "not a name"),
        ("-tenant.id == 1", 0, "`-` needs an int"),
        ("tenant[\"id\"] == 'a'", 0, "only `metadata`"),
    ] {
        let faults = check::compile(source).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{source}: {faults:?}") };
        assert_eq!((fault.offset, fault.message.contains(part)), (at, true), "{source}: {}", fault.message);
    }
}

#[test]
fn all_faults_of_all_rules_are_told() {
    let (bad, good) =
        (rule("bad", "tenant.ids == 1 && weather", RuleAction::Block), rule("good", "true", RuleAction::Flag));
    let other = RuleEntry { active: false, ..rule("off", "tenant.id ==", RuleAction::Block) };
    let faults = Rules::compile(&[&bad, &good, &other].map(|entry| RuleSource { entry })).unwrap_err();
    assert_eq!(faults.iter().map(|f| (f.index, f.offset)).collect::<Vec<_>>(), [(0, 0), (0, 19), (2, 12)]);
}

#[test]
fn length_is_bounded() {
    let long = |n: usize| format!("true{}", " ".repeat(n - 4));
    check::compile(&long(4096)).unwrap();
    assert_eq!(check::compile(&long(4097)).unwrap_err()[0].offset, 4096);
}

fn rule(name: &str, when: &str, then: RuleAction) -> RuleEntry {
    RuleEntry {
        name: RuleId::parse(name).unwrap(),
        description: None,
        active: true,
        scope: RuleScope::default(),
        when: when.to_owned(),
        then,
        reason: None,
    }
}

fn ruling(entries: &[RuleEntry], phase: Phase) -> (CheckVerdict, Option<Reason>, Vec<String>) {
    let sources: Vec<RuleSource<'_>> = entries.iter().map(|entry| RuleSource { entry }).collect();
    let ruling = with_facts(|facts| Rules::compile(&sources).unwrap().judge(phase, facts));
    (ruling.verdict, ruling.denial, ruling.named.iter().map(ToString::to_string).collect())
}

#[test]
fn the_strictest_rule_counts_whatever_the_order() {
    use RuleAction::{Allow, Block, Flag, RequireApproval};
    let (yes, no, err) = ("true", "false", "metadata.other");
    for (rules, verdict, denial, named) in [
        (vec![], CheckVerdict::NotApplicable, None, vec![]),
        (vec![(no, Block)], CheckVerdict::Pass, None, vec![]),
        (vec![(yes, Allow)], CheckVerdict::Pass, None, vec![]),
        (vec![(yes, Flag), (yes, Allow)], CheckVerdict::Flag, None, vec!["r0"]),
        (vec![(yes, Allow), (yes, Block)], CheckVerdict::Block, Some(Reason::RuleDenied), vec!["r1"]),
        (
            vec![(yes, Flag), (yes, RequireApproval)],
            CheckVerdict::Block,
            Some(Reason::ApprovalRequired),
            vec!["r0", "r1"],
        ),
        (vec![(yes, RequireApproval), (yes, Block)], CheckVerdict::Block, Some(Reason::RuleDenied), vec!["r0", "r1"]),
        (vec![(err, Allow)], CheckVerdict::Error, Some(Reason::RuleDenied), vec!["r0"]),
        (vec![(err, Flag), (yes, RequireApproval)], CheckVerdict::Error, Some(Reason::RuleDenied), vec!["r0", "r1"]),
        (vec![(err, Flag), (yes, Block)], CheckVerdict::Block, Some(Reason::RuleDenied), vec!["r0", "r1"]),
    ] {
        let mut entries: Vec<RuleEntry> =
            rules.iter().enumerate().map(|(i, (when, then))| rule(&format!("r{i}"), when, *then)).collect();
        let expected = (verdict, denial, named.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(ruling(&entries, Phase::Gate), expected, "{rules:?}");
        entries.reverse();
        let (reversed, again, mut names) = ruling(&entries, Phase::Gate);
        names.sort();
        assert_eq!((reversed, again, names), expected, "{rules:?}, reversed");
    }
}

#[test]
fn a_rule_out_of_scope_or_switched_off_is_not_asked() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<std::collections::BTreeSet<_>>();
    let scoped = |scope| RuleEntry { scope, ..rule("r", "metadata.other", RuleAction::Block) };
    let all = RuleScope::default();
    for (entry, asked) in [
        (scoped(all.clone()), true),
        (RuleEntry { active: false, ..scoped(all.clone()) }, false),
        (scoped(RuleScope { tenants: set(&["globex"]), ..all.clone() }), false),
        (scoped(RuleScope { tenants: set(&["globex", "acme"]), ..all.clone() }), true),
        (scoped(RuleScope { tenants: set(&["globex", "*"]), ..all.clone() }), true),
        (scoped(RuleScope { organizations: set(&["acme"]), ..all.clone() }), false),
        (scoped(RuleScope { environments: set(&["prod"]), models: set(&["gpt-4o-mini"]), ..all.clone() }), true),
        (scoped(RuleScope { environments: set(&["prod"]), models: set(&["gpt-4o"]), ..all }), false),
    ] {
        let expected = if asked { CheckVerdict::Error } else { CheckVerdict::NotApplicable };
        assert_eq!(ruling(std::slice::from_ref(&entry), Phase::Gate).0, expected, "{:?}", entry.scope);
    }
}

#[test]
fn a_rule_that_reads_risk_waits_for_it() {
    let entries = [
        rule("gate", "tenant.id == 'acme'", RuleAction::Flag),
        rule("score", "risk.score > 69", RuleAction::RequireApproval),
        rule("count", "tenant.id == 'x' || risk.count('personal_data') > 0", RuleAction::Flag),
        rule("has", "has(risk.score)", RuleAction::Flag),
    ];
    assert_eq!(ruling(&entries, Phase::Gate).2, ["gate"]);
    assert_eq!(ruling(&entries, Phase::Risk).2, ["score", "count", "has"]);
}

proptest! {
    #[test]
    fn every_source_compiles_or_is_refused_within_its_bounds(
        words in prop::collection::vec(prop::sample::select(&[
            "tenant.id", "metadata.x", "risk.score", "has", "risk.count", "(", ")", "[", "]", "!", "-", "==", "<", "in",
            "&&", "||", "1", "'x'", ",", "true", "principal.roles", "model.status",
        ]), 0..30),
    ) {
        let source = words.join(" ");
        match check::compile(&source) {
            Ok(checked) => { let _ = with_facts(|facts| checked.program.holds(facts)); }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| fault.offset <= source.len()));
            }
        }
    }
}

/// The reference in `docs/rules.md` is written from the code's table; its examples are rules.
mod reference {
    use super::super::reference;
    use super::check;

    const BEGIN: &str =
        "<!-- variables: written by `cargo test rules::tests::reference` with PORTCULLIS_WRITE_DOCS=1 -->\n";
    const END: &str = "<!-- end of variables -->";

    #[test]
    fn the_table_in_the_docs_is_the_table_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}{}{END}{after}", reference());
        if std::env::var_os("PORTCULLIS_WRITE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), wanted, "run this test with PORTCULLIS_WRITE_DOCS=1");
    }

    #[test]
    fn every_example_in_the_docs_is_a_rule() {
        let page = include_str!("../../../docs/rules.md");
        let examples: Vec<&str> =
            page.split("```cel\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(code, _)| code)).collect();
        assert!(examples.len() >= 5);
        for example in examples {
            check::compile(example).unwrap_or_else(|faults| panic!("{example}: {faults:?}"));
        }
    }
}
