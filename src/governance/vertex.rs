//! Whether a call stays at the place of Vertex AI that its upstream is for.
//!
//! A project is an account and a location a jurisdiction, and the client writes both into the path. Where the bootstrap
//! config names them for an upstream, a path must name exactly these; `pipeline` asks right after the gate.

use std::collections::BTreeMap;

use super::{Denial, Permit};
use crate::config::bootstrap::{Upstream, Vertex};
use crate::docket::{CheckVerdict, Stopped};
use crate::id::UpstreamId;
use crate::reason::Reason;

/// The upstreams that serve one place only.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<UpstreamId, Vertex>);

impl Places {
    /// Those of the bootstrap config.
    #[must_use]
    pub fn of(upstreams: &BTreeMap<UpstreamId, Upstream>) -> Self {
        let place = |(name, upstream): (&UpstreamId, &Upstream)| Some((name.clone(), upstream.vertex.clone()?));
        Self(upstreams.iter().filter_map(place).collect())
    }

    /// Gives the permit back where its path stays at the place.
    ///
    /// # Errors
    /// [`Denial`] with `model_not_permitted`: the model of another place is another model.
    pub fn keep(&self, permit: Permit) -> Result<Permit, Stopped<Denial>> {
        let matched = permit.call.caller().arrival().matched();
        let named = |name| matched.and_then(|matched| matched.named(name));
        let is_kept = self.0.get(&permit.model.file.upstream).is_none_or(|place| {
            named("project") == Some(place.project.as_str()) && named("location") == Some(place.location.as_str())
        });
        if is_kept {
            return Ok(permit);
        }
        let mut docket = permit.call.into_docket();
        docket.checks.model = CheckVerdict::Block;
        docket.fault = Some("path: not at the place of its upstream".to_owned());
        Err(Stopped::new(docket, Denial(Reason::ModelNotPermitted)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, Vertex};
    use crate::governance::for_tests::snapshot;

    const BODY: &str = r#"{"contents":[]}"#;

    #[test]
    fn a_path_stays_at_the_place_of_its_upstream() {
        let vertex = Vertex { project: "p-1".to_owned(), location: "europe-west4".to_owned() };
        let upstream = crate::id::UpstreamId::parse("sim").unwrap();
        let pinned = Places([(upstream, vertex)].into());
        let free = Places::default();
        let at = |path: &str, places: &Places| {
            let call = crate::call::Call::for_tests(path, &[], BODY);
            let permit =
                crate::governance::decide(&snapshot(&[]), call).unwrap_or_else(|stopped| panic!("{}", stopped.why));
            places.keep(permit).is_ok()
        };
        for (path, kept) in [
            ("/v1/projects/p-1/locations/europe-west4/publishers/google/models/chatty:generateContent", true),
            ("/v1/projects/p-2/locations/europe-west4/publishers/google/models/chatty:generateContent", false),
            ("/v1/projects/p-1/locations/global/publishers/google/models/chatty:generateContent", false),
            ("/v1beta1/publishers/google/models/chatty:generateContent", false),
            ("/v1beta/models/chatty:generateContent", false),
        ] {
            assert_eq!(at(path, &pinned), kept, "{path}");
            assert!(at(path, &free), "{path}");
        }
    }
}
