//! Readings of the gate's own endpoints: the decision API, the limits API, the model list.
//!
//! They carry facts, never content, and are never forwarded. `pipeline` chooses by the route's operation.

use bytes::Bytes;

use super::json::{Document, Kind, Value};
use super::metadata::{self, Metadata};
use super::{Unreadable, fold, head, settle};
use crate::docket::{Docket, Stopped};
use crate::id::ClaimedModel;
use crate::identity::Caller;
use crate::reason::Reason;
use crate::speech::Operation;

macro_rules! evidence {
    ($($name:ident)+) => {$(
        impl $name {
            /// The case file.
            #[must_use]
            pub const fn docket(&self) -> &Docket {
                self.caller.docket()
            }

            /// Ends the case here and gives its file back.
            #[must_use]
            pub fn into_docket(self) -> Box<Docket> {
                self.caller.into_docket()
            }
        }
    )+};
}

evidence! { CheckAsk EvaluateAsk ListAsk }

/// A reading of `POST /v1/check`: facts, never content.
#[derive(Debug)]
pub struct CheckAsk {
    caller: Caller,
    /// The model asked about, when one is named.
    pub model: Option<ClaimedModel>,
    /// The operation asked about: a label of the caller's.
    pub operation: Option<String>,
    /// Declared facts.
    pub metadata: Metadata,
}

impl CheckAsk {
    /// Reads `{model, operation, metadata}`.
    ///
    /// # Errors
    /// [`Unreadable`]: `forbidden_field` when any object in the body has a field that would carry content,
    /// `unsupported_parameter` for a member it does not know, and as [`super::Call::read`] for what cannot be read.
    pub fn read(caller: Caller, body: &Bytes) -> Result<Self, Stopped<Unreadable>> {
        let found = expect(&caller, Operation::Check).and_then(|()| check(&caller, body));
        let (mut caller, (model, operation, metadata)) = settle(caller, found)?;
        caller.docket_mut().facts.extend(metadata.recordable());
        Ok(Self { caller, model, operation, metadata })
    }
}

/// A reading of `POST /api/evaluate`.
#[derive(Debug)]
pub struct EvaluateAsk {
    caller: Caller,
    /// The customer asked about; it may only be the key's own tenant.
    pub customer: Option<String>,
}

impl EvaluateAsk {
    /// Reads nothing, or `{customer_id}`.
    ///
    /// # Errors
    /// As [`CheckAsk::read`].
    pub fn read(caller: Caller, body: &Bytes) -> Result<Self, Stopped<Unreadable>> {
        let found = expect(&caller, Operation::Evaluate).and_then(|()| evaluate(&caller, body));
        let (caller, customer) = settle(caller, found)?;
        Ok(Self { caller, customer })
    }
}

/// A reading of `GET /v1/models`.
#[derive(Debug)]
pub struct ListAsk {
    caller: Caller,
}

impl ListAsk {
    /// Reads that nothing is asked besides.
    ///
    /// # Errors
    /// [`Unreadable`]: `malformed_request` when there is a body, `ambiguous_request` for a query that names a model or
    /// a credential.
    pub fn read(caller: Caller, body: &Bytes) -> Result<Self, Stopped<Unreadable>> {
        let found = expect(&caller, Operation::Models).and_then(|()| {
            let why = || Unreadable::new(Reason::MalformedRequest, "body: none is due here");
            if body.is_empty() { Ok(()) } else { Err(why()) }
        });
        let (caller, ()) = settle(caller, found)?;
        Ok(Self { caller })
    }
}

/// Checks that the route is this operation's and that the query names nothing.
fn expect(caller: &Caller, operation: Operation) -> Result<(), Unreadable> {
    if caller.arrival().route().map(|route| route.operation) != Some(operation) {
        return Err(Unreadable::new(Reason::UnsupportedOperation, "no such endpoint"));
    }
    head::query(caller.arrival().query(), None, &[]).map(drop)
}

type Check = (Option<ClaimedModel>, Option<String>, Metadata);

fn check(caller: &Caller, body: &[u8]) -> Result<Check, Unreadable> {
    head::Fields::of(caller.arrival().headers()).expect_json()?;
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    metadata::refuse_forbidden(document.root())?;
    let (mut model, mut operation, mut facts) = (None, None, Metadata::default());
    members(document.root(), &["model", "operation", "metadata"], |name, value| {
        match name {
            "model" => model = Some(ClaimedModel::new(short(value)?)),
            "operation" => operation = Some(short(value)?),
            _ => facts = Metadata::of(value)?,
        }
        Ok(())
    })?;
    Ok((model, operation, facts))
}

fn evaluate(caller: &Caller, body: &[u8]) -> Result<Option<String>, Unreadable> {
    if body.is_empty() {
        return Ok(None);
    }
    head::Fields::of(caller.arrival().headers()).expect_json()?;
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    metadata::refuse_forbidden(document.root())?;
    let mut customer = None;
    members(document.root(), &["customer_id"], |_, value| {
        customer = Some(short(value)?);
        Ok(())
    })?;
    Ok(customer)
}

/// Hands out the members of an object that may have only `known` ones. Null counts as absent.
fn members<'d>(
    object: Value<'d>,
    known: &[&str],
    mut take: impl FnMut(&str, Value<'d>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    if object.kind() != Kind::Object {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: no JSON object"));
    }
    for (name, value) in object.members() {
        let key = name.text();
        if !known.contains(&key.as_ref()) {
            return Err(if fold::folds_to(&key, |folded| known.contains(&folded)) {
                Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", name.offset())
            } else {
                Unreadable::at(Reason::UnsupportedParameter, "unknown member", name.offset())
            });
        }
        if !value.is_null() {
            take(&key, value)?;
        }
    }
    Ok(())
}

/// Longest label, in bytes.
const LONGEST: usize = 256;

fn short(value: Value<'_>) -> Result<String, Unreadable> {
    let text = value.text().filter(|text| text.len() <= LONGEST);
    let what = "no short string where one is due";
    text.map(std::borrow::Cow::into_owned)
        .ok_or_else(|| Unreadable::at(Reason::MalformedRequest, what, value.range().start))
}
