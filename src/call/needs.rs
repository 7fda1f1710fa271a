//! What a call asks of the world besides its model: things that a provider has stored, and places that it would fetch.
//!
//! Collected by the readers in the order of the body, judged by `governance`: whether either is permitted depends on
//! the tenant, and no reader knows tenants.

/// What a call refers to.
#[derive(Debug, Default)]
pub struct Needs {
    stored_at: Option<usize>,
    fetches: Vec<Fetch>,
    /// The first set of tools of a server that another member has to name, and whether one does.
    toolset_at: Option<usize>,
    has_servers: bool,
}

/// A place that the upstream would fetch from or connect to.
pub struct Fetch {
    place: String,
    at: usize,
}

/// Shows where, not what: the place is content.
impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetch(at byte {})", self.at)
    }
}

impl Fetch {
    /// The address as the client wrote it, escapes decoded.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The byte of the body at which it stands.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl Needs {
    /// The byte at which the first reference to something stored stands.
    #[must_use]
    pub const fn stored_at(&self) -> Option<usize> {
        self.stored_at
    }

    /// The places that would be fetched, in the order of the body.
    #[must_use]
    pub fn fetches(&self) -> &[Fetch] {
        &self.fetches
    }

    /// Notes a reference to something stored.
    pub(super) const fn store(&mut self, at: usize) {
        if self.stored_at.is_none() {
            self.stored_at = Some(at);
        }
    }

    /// Notes tools of a server that `mcp_servers` has to name.
    pub(super) const fn toolset(&mut self, at: usize) {
        if self.toolset_at.is_none() {
            self.toolset_at = Some(at);
        }
    }

    /// Notes that there is a server, whose place is noted besides.
    pub(super) const fn server(&mut self) {
        self.has_servers = true;
    }

    /// Ends the collection: tools of a server that nobody names could be anywhere's.
    pub(super) fn close(&mut self) {
        if let Some(at) = self.toolset_at.filter(|_| !self.has_servers) {
            self.fetch(String::new(), at);
        }
    }

    /// Notes a place that would be fetched.
    pub(super) fn fetch(&mut self, place: String, at: usize) {
        self.fetches.push(Fetch { place, at });
    }
}
