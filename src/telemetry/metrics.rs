//! The metric families of the contract, in one registry.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{
    CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::series::Kept;
use crate::docket::Docket;
use crate::reason::Reason;

/// The label of what the registry does not know.
const OTHER: &str = "other";

/// Upper bounds of request stages, in seconds: from 10 µs (a cached denial) to 1 s (a disk that stalls).
const STAGE_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Upper bounds of what waits for a model, in seconds.
const MODEL_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    kept: Kept,
    decisions: IntCounterVec,
    llm_calls: OnceLock<IntCounter>,
    policy_seconds: Histogram,
    total_seconds: Histogram,
    upstream_seconds: HistogramVec,
    first_token_seconds: Histogram,
    tokens: IntCounterVec,
    cost: CounterVec,
    breaker_state: IntGaugeVec,
    limiter_rejections: IntCounterVec,
    risk_findings: IntCounterVec,
    role_denied: IntCounterVec,
    models_by_risk: IntGaugeVec,
    models_by_status: IntGaugeVec,
    violations: IntCounter,
    models: IntGauge,
    /// Seconds from a record's queueing to its durability.
    pub audit_append_seconds: Histogram,
    /// Records that wait for the writer.
    pub audit_queue_records: IntGauge,
    /// Places where the audit log has a declared gap.
    pub audit_gaps: IntCounter,
    /// Records by action.
    pub audit_records: IntCounterVec,
    /// The active snapshot's revision.
    pub registry_revision: IntGauge,
    /// Seconds since the active snapshot was loaded.
    pub registry_age_seconds: IntGauge,
    /// Reloads that were refused.
    pub registry_reload_failures: IntCounter,
    /// Calls let through without a check, by what failed.
    pub fail_open: IntCounterVec,
    /// Failures of shared limit state.
    pub shared_state_failures: IntCounter,
    /// Client connections open now.
    pub connections: IntGauge,
    /// Bytes of request bodies held now.
    pub body_bytes: IntGauge,
}

/// A forwarded call's end, for the figures that come from it.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    /// The call.
    pub docket: &'a Docket,
    /// The status that the upstream answered, or that the gate answered for it.
    pub status: Option<u16>,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// What it cost, and in which currency.
    pub cost: Option<(f64, &'a str)>,
    /// From the request sent to the answer's head.
    pub first_byte_after: Option<Duration>,
    /// From arrival to the end.
    pub duration: Duration,
}

impl Metrics {
    /// Makes all families.
    ///
    /// # Errors
    /// When two families share a name, which is a defect.
    pub fn new() -> prometheus::Result<Self> {
        let new = Family(Registry::new());
        let stages = new.histograms(
            "portcullis_request_duration_seconds",
            "Time in the gate by stage: policy is judging, total is arrival to end.",
            &["stage"],
            STAGE_SECONDS,
        )?;
        Ok(Self {
            kept: Kept::new(),
            llm_calls: OnceLock::new(),
            decisions: new.counters(
                "portcullis_decisions_total",
                "Decisions by tenant, model, decision and reason.",
                &["tenant", "model", "decision", "reason", "failure_class"],
            )?,
            policy_seconds: stages.with_label_values(&["policy"]),
            total_seconds: stages.with_label_values(&["total"]),
            upstream_seconds: new.histograms(
                "portcullis_upstream_duration_seconds",
                "Time of forwarded calls by upstream and status.",
                &["upstream", "status"],
                MODEL_SECONDS,
            )?,
            first_token_seconds: new.histogram(
                "portcullis_time_to_first_token_seconds",
                "From the request sent to the first byte of the answer.",
                MODEL_SECONDS,
            )?,
            tokens: new.counters(
                "portcullis_tokens_total",
                "Tokens settled, by direction.",
                &["tenant", "model", "direction"],
            )?,
            cost: new.amounts(
                "portcullis_cost_total",
                "Cost settled, in units of the currency.",
                &["tenant", "model", "currency"],
            )?,
            breaker_state: new.gauges("portcullis_breaker_state", "0 closed, 1 half-open, 2 open.", &["upstream"])?,
            limiter_rejections: new.counters(
                "portcullis_limiter_rejections_total",
                "Calls refused by a limit.",
                &["tenant", "limit"],
            )?,
            risk_findings: new.counters(
                "portcullis_risk_findings_total",
                "Findings by type and what became of the call.",
                &["type", "action"],
            )?,
            role_denied: new.counters(
                "portcullis_role_denied_total",
                "Acts refused for want of a role.",
                &["action"],
            )?,
            fail_open: new.counters(
                "portcullis_fail_open_total",
                "Calls let through without a check, as config names it.",
                &["dependency"],
            )?,
            models_by_risk: new.gauges(
                "ai_governance_models_by_risk",
                "Model versions by risk level.",
                &["risk_level"],
            )?,
            models_by_status: new.gauges("ai_governance_models_by_status", "Model versions by status.", &["status"])?,
            violations: new.counter("ai_governance_violations_total", "Governance violations recorded.")?,
            models: new.gauge("ai_governance_models_total", "Model versions in the registry.")?,
            audit_append_seconds: new.histogram(
                "portcullis_audit_append_seconds",
                "From queueing a record to its durability.",
                STAGE_SECONDS,
            )?,
            audit_queue_records: new.gauge("portcullis_audit_queue_records", "Records that wait for the writer.")?,
            audit_gaps: new.counter("portcullis_audit_gaps_total", "Declared gaps in the audit log.")?,
            audit_records: new.counters("portcullis_audit_records_total", "Records by action.", &["action"])?,
            registry_revision: new.gauge("portcullis_registry_revision", "Revision of the active snapshot.")?,
            registry_age_seconds: new.gauge("portcullis_registry_age_seconds", "Age of the active snapshot.")?,
            registry_reload_failures: new
                .counter("portcullis_registry_reload_failures_total", "Reloads refused; the old snapshot stayed.")?,
            shared_state_failures: new
                .counter("portcullis_shared_state_failures_total", "Failures of shared limit state.")?,
            connections: new.gauge("portcullis_connections", "Client connections open.")?,
            body_bytes: new.gauge("portcullis_body_bytes", "Bytes of request bodies held.")?,
            registry: new.0,
        })
    }

    /// Counts a decision. `reason` is what refused, if anything did.
    pub fn decided(&self, docket: &Docket, decision: &'static str, reason: Option<Reason>) {
        let (code, class) = reason.map_or(("none", "none"), |reason| (reason.code(), reason.class().as_str()));
        let count = || self.decisions.with_label_values(&[tenant(docket), model(docket), decision, code, class]);
        match (decision, reason) {
            ("allow", None) => self.kept.of(docket).allowed.get_or_init(count).inc(),
            _ => count().inc(),
        }
        let action = if reason.is_some() { "block" } else { "pass" };
        for (kind, count) in &docket.risk.findings {
            self.risk_findings.with_label_values(&[*kind, action]).inc_by(u64::from(*count));
        }
        match reason {
            Some(Reason::RequestLimit | Reason::TokenLimit | Reason::BudgetExhausted | Reason::ConcurrencyLimit) => {
                self.limiter_rejections.with_label_values(&[tenant(docket), code]).inc();
            }
            Some(Reason::RoleDenied) => self.role_denied.with_label_values(&["llm_call"]).inc(),
            _ => {}
        }
    }

    /// Counts a call that was allowed and then got no answer.
    pub fn failed_after_decision(&self, docket: &Docket, reason: Reason) {
        self.decisions
            .with_label_values(&[tenant(docket), model(docket), "failed", reason.code(), reason.class().as_str()])
            .inc();
    }

    /// Counts a decision record and notes how long judging took.
    pub fn judged(&self, action: &'static str, took: Duration) {
        self.policy_seconds.observe(took.as_secs_f64());
        let count = || self.audit_records.with_label_values(&[action]);
        if action == "LLM_CALL" {
            self.llm_calls.get_or_init(count).inc();
            return;
        }
        count().inc();
        if action == "GOVERNANCE_VIOLATION" {
            self.violations.inc();
        }
    }

    /// Notes a forwarded call's end.
    pub fn settled(&self, settled: &Settled<'_>) {
        let docket = settled.docket;
        let (tenant, model) = (tenant(docket), model(docket));
        let upstream = docket.upstream.as_ref().map_or(OTHER, |upstream| upstream.as_str());
        let series = self.kept.of(docket);
        let seconds = settled.duration.as_secs_f64();
        let status = status_word(settled.status);
        let upstream_seconds = || self.upstream_seconds.with_label_values(&[upstream, status]);
        match status {
            "2xx" => series.answered.get_or_init(upstream_seconds).observe(seconds),
            _ => upstream_seconds().observe(seconds),
        }
        self.total_seconds.observe(seconds);
        if let Some(after) = settled.first_byte_after {
            self.first_token_seconds.observe(after.as_secs_f64());
        }
        let tokens = |direction| self.tokens.with_label_values(&[tenant, model, direction]);
        series.input.get_or_init(|| tokens("input")).inc_by(settled.input_tokens);
        series.output.get_or_init(|| tokens("output")).inc_by(settled.output_tokens);
        if let Some((amount, currency)) = settled.cost {
            let cost = || self.cost.with_label_values(&[tenant, model, currency]);
            let (kept, counter) = series.cost.get_or_init(|| (currency.to_owned(), cost()));
            let amount = amount.max(0.0);
            if kept == currency { counter.inc_by(amount) } else { cost().inc_by(amount) }
        }
    }

    /// Shows an upstream's breaker: 0 closed, 1 half-open, 2 open.
    pub fn show_breaker(&self, upstream: &str, state: i64) {
        self.breaker_state.with_label_values(&[upstream]).set(state);
    }

    /// Shows the registry's model versions by risk level and status.
    pub fn show_models<'m>(&self, versions: impl Iterator<Item = (&'m str, &'m str)>) {
        self.models_by_risk.reset();
        self.models_by_status.reset();
        let mut total = 0;
        for (risk_level, status) in versions {
            total += 1;
            self.models_by_risk.with_label_values(&[risk_level]).inc();
            self.models_by_status.with_label_values(&[status]).inc();
        }
        self.models.set(total);
    }

    /// All figures in Prometheus text format.
    ///
    /// # Errors
    /// When a family has no samples in a consistent shape, which is a defect.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn tenant(docket: &Docket) -> &str {
    docket.tenant.as_ref().map_or(OTHER, |tenant| tenant.as_str())
}

fn model(docket: &Docket) -> &str {
    docket.model.as_ref().map_or(OTHER, |model| model.as_str())
}

/// Statuses as a closed set of labels: an upstream may answer any number.
const fn status_word(status: Option<u16>) -> &'static str {
    match status {
        Some(200..=299) => "2xx",
        Some(429) => "429",
        Some(400..=499) => "4xx",
        Some(502) => "502",
        Some(503) => "503",
        Some(504) => "504",
        Some(500..=599) => "5xx",
        Some(_) => OTHER,
        None => "none",
    }
}

/// Makes a family and registers it.
struct Family(Registry);

impl Family {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, family: C) -> prometheus::Result<C> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn amounts(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        self.add(CounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Settled};
    use crate::clock::Moment;
    use crate::docket::Docket;
    use crate::id::{CorrelationId, ModelId, RequestId, TenantId, UpstreamId};
    use std::time::Duration;

    fn docket(tenant: &str, model: &str, upstream: &str) -> Docket {
        let (request, correlation) = (RequestId::parse("r").unwrap(), CorrelationId::parse("c").unwrap());
        let at = chrono::DateTime::UNIX_EPOCH;
        let mut docket = Docket::open(request, correlation, http::Method::POST, Moment::default(), at);
        docket.tenant = TenantId::parse(tenant).ok();
        docket.model = ModelId::parse(model).ok();
        docket.upstream = UpstreamId::parse(upstream).ok();
        docket
    }

    #[test]
    fn more_calls_than_series_are_kept_are_counted_under_their_own_labels() {
        let metrics = Metrics::new().unwrap();
        let dockets: Vec<_> = (0..600).map(|n| docket(&format!("t{n}"), &format!("m{}", n % 7), "u")).collect();
        for round in 0..3 {
            for docket in &dockets {
                metrics.decided(docket, "allow", None);
                metrics.settled(&Settled {
                    docket,
                    status: Some(if round == 2 { 500 } else { 200 }),
                    input_tokens: 5,
                    output_tokens: 2,
                    cost: Some((0.5, if round == 1 { "EUR" } else { "USD" })),
                    first_byte_after: None,
                    duration: Duration::from_millis(20),
                });
            }
        }
        let text = metrics.text().unwrap();
        for n in [0, 1, 299, 599] {
            let labels = format!(r#"model="m{}",tenant="t{n}""#, n % 7);
            let decisions =
                format!(r#"decision="allow",failure_class="none",model="m{}",reason="none",tenant="t{n}"}} 3"#, n % 7);
            assert!(text.contains(&decisions), "{decisions}");
            let tokens = |direction| format!(r#"tokens_total{{direction="{direction}",{labels}}}"#);
            assert!(text.contains(&format!("{} 15\n", tokens("input"))), "{labels}");
            assert!(text.contains(&format!("{} 6\n", tokens("output"))), "{labels}");
            assert!(text.contains(&format!(r#"cost_total{{currency="USD",{labels}}} 1"#)), "{labels}");
            assert!(text.contains(&format!(r#"cost_total{{currency="EUR",{labels}}} 0.5"#)), "{labels}");
        }
        for (status, count) in [("2xx", 1200), ("5xx", 600)] {
            let line = format!(r#"upstream_duration_seconds_count{{status="{status}",upstream="u"}} {count}"#);
            assert!(text.contains(&line), "{line}");
        }
    }

    #[test]
    fn the_families_have_distinct_names_and_can_be_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.show_models([("limited", "approved"), ("high", "pending")].into_iter());
        let text = metrics.text().unwrap();
        assert!(text.contains("ai_governance_models_total 2"), "{text}");
        assert!(text.contains("portcullis_registry_revision 0"), "{text}");
    }
}
