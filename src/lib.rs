//! Portcullis: a policy-enforcement sidecar for LLM traffic.
//!
//! # The way of a request
//!
//! ```text
//! app ─► edge ─► identity ─► call ─► governance ─► quota ─► risk ─► breaker ─► audit ─► edge ─► LLM
//! ```
//!
//! Each stage consumes the evidence of the one before and returns stronger evidence:
//! `Arrival → Caller → Call → Permit → Grant → Assessment → Passage → Sealed`. Only `audit` makes a `Sealed`, once
//! the decision record is durable, and `edge::upstream` takes nothing else: a call that was not judged, or whose
//! record is not written, does not compile.
//!
//! # The floor plan
//!
//! The order of the modules below is the order of the house: a room imports only rooms declared above it
//! (`tests/floor_plan.rs` checks that).

// Ground floor: words, no I/O.
pub mod clock;
pub mod secret;
pub mod id;
pub mod reason;
pub mod speech;
pub mod docket;
pub mod config;
pub mod telemetry;

// First floor: the stages, in request order.
pub mod route;
pub mod arrival;
pub mod identity;
pub mod call;
pub mod governance;
pub mod quota;
pub mod risk;
pub mod breaker;
pub mod verdict;
pub mod audit;

// Second floor: order.
pub mod pipeline;

// Top floor: the world.
pub mod edge;
pub mod simulator;
pub mod app;
pub mod cli;
