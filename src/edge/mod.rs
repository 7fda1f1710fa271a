//! The world: connections in, one exchange a request, connections out, and the admin plane beside.
//!
//! Nothing here judges. What is refused is refused by a stage; what is forwarded is a `Sealed`.

mod admin;
mod alarm;
mod body;
mod decode;
mod exchange;
mod headers;
mod listener;
mod mishap;
mod outlive;
mod own;
mod patience;
mod preface;
mod relay;
pub mod reply;
mod sigv4;
mod stall;
mod tls;
mod uncoded;
mod upstream;
mod whole;
mod words;

pub use admin::{Admin, serve_admin};
pub use exchange::Gate;
pub use listener::{Bound, Drain, serve};
pub use tls::{BadTls, Certificates};
pub use upstream::{BadUpstream, Upstreams};
