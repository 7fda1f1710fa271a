//! What is counted and logged: the metric families of the contract and the log set-up.
//!
//! Label values are closed enums or names of the registry; anything a client may choose is `other`. Content never
//! becomes a label or a log field.

mod log;
mod metrics;
mod series;

pub use log::{BadFilter, LogFilter, LogFormat, start_log};
pub use metrics::{Metrics, Settled};
