//! A checked tree → values, through `serde`.
//!
//! A text field takes any bare scalar's source text, so `version: 20250929` and `expires: 2027-01-01` need no quotes;
//! numbers and booleans come from bare scalars only. [`Placed`] keeps a value's place for checks that a schema cannot
//! say. Only this room's deserializer knows how to fill it.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::node::{Entry, Flaw, Kind, Node, Place, Scalar};

/// Names by which the wrappers below ask for what plain serde has no word for.
const PLACED: &str = "portcullis.placed";
const EITHER: &str = "portcullis.either";

/// Turns a tree that was checked against `T`'s shape into a `T`.
///
/// # Errors
/// The first flaw; none is left after the shape's check, unless a value's own parser is stricter than its pattern.
pub(crate) fn value<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Flaw> {
    T::deserialize(At(node)).map_err(|e| Flaw::new(e.place.unwrap_or(node.place), e.message))
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    /// The value.
    pub(crate) value: T,
    /// Its place.
    pub(crate) place: Place,
}

/// A value in its short form, or as a map or list.
#[derive(Debug, Clone)]
pub(crate) enum Either<S, L> {
    /// A single value.
    Short(S),
    /// A map or a list.
    Long(L),
}

/// A map whose keys are words of `K`, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, V>(pub(crate) Vec<(Placed<K>, Placed<V>)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Why a value cannot be made.
#[derive(Debug)]
pub(crate) struct Unfit {
    place: Option<Place>,
    message: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { place: None, message: message.to_string() }
    }
}

impl Unfit {
    /// The innermost place wins.
    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

/// A node as a deserializer.
#[derive(Clone, Copy)]
struct At<'de>(&'de Node);

impl<'de> At<'de> {
    fn scalar(self) -> Result<&'de Scalar, Unfit> {
        self.0.scalar().ok_or_else(|| self.unfit("a single value is expected here"))
    }

    fn unfit(self, message: &str) -> Unfit {
        Unfit { place: Some(self.0.place), message: message.to_owned() }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let number = self.scalar()?.integer().ok_or_else(|| self.unfit("a whole number is expected here"))?;
        let visited = match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => return Err(self.unfit("the number is too large")),
        };
        visited.map_err(|e: Unfit| e.at(self.0.place))
    }

    /// What follows the wrapper's own facts: first `head`, then the node itself.
    fn after_head<V: Visitor<'de>>(self, head: Vec<u32>, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_seq(Wrapped { head: Some(head), node: Some(self) })
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            self.integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for At<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let visited = match &self.0.kind {
            Kind::Scalar(scalar) if scalar.is_null() => visitor.visit_unit(),
            Kind::Scalar(scalar) if scalar.integer().is_some() => return self.integer(visitor),
            Kind::Scalar(scalar) => match scalar.boolean() {
                Some(yes) => visitor.visit_bool(yes),
                None => visitor.visit_borrowed_str(&scalar.text),
            },
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        };
        visited.map_err(|e: Unfit| e.at(self.0.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let yes = self.scalar()?.boolean().ok_or_else(|| self.unfit("true or false is expected here"))?;
        visitor.visit_bool(yes)
    }

    integers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_borrowed_str(&self.scalar()?.text).map_err(|e: Unfit| e.at(self.0.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Unfit> {
        let Place { line, column, start, end, origin } = self.0.place;
        match name {
            PLACED => self.after_head(vec![line, column, start, end, origin], visitor),
            EITHER => self.after_head(vec![u32::from(self.0.scalar().is_none())], visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_enum(Word(&self.scalar()?.text)).map_err(|e: Unfit| e.at(self.0.place))
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

/// The sequence that fills a wrapper: its head, then its value.
struct Wrapped<'de> {
    head: Option<Vec<u32>>,
    node: Option<At<'de>>,
}

impl<'de> SeqAccess<'de> for Wrapped<'de> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unfit> {
        if let Some(head) = self.head.take() {
            return seed.deserialize(SeqDeserializer::new(head.into_iter())).map(Some);
        }
        self.node.take().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unfit> {
        self.0.next().map(|node| seed.deserialize(At(node))).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unfit> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        seed.deserialize(KeyAt(entry)).map(Some).map_err(|e| e.at(entry.key_place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let node = self.value.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(At(node)).map_err(|e| e.at(node.place))
    }
}

/// A key as a deserializer.
struct KeyAt<'de>(&'de Entry);

impl<'de> Deserializer<'de> for KeyAt<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_borrowed_str(&self.0.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Unfit> {
        if name != PLACED {
            return visitor.visit_newtype_struct(self);
        }
        let Place { line, column, start, end, origin } = self.0.key_place;
        visitor.visit_seq(WrappedKey { head: Some(vec![line, column, start, end, origin]), key: &self.0.key })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_enum(Word(&self.0.key))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

struct WrappedKey<'de> {
    head: Option<Vec<u32>>,
    key: &'de str,
}

impl<'de> SeqAccess<'de> for WrappedKey<'de> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unfit> {
        if let Some(head) = self.head.take() {
            return seed.deserialize(SeqDeserializer::new(head.into_iter())).map(Some);
        }
        let key: StrDeserializer<'de, Unfit> = self.key.into_deserializer();
        seed.deserialize(key).map(Some)
    }
}

/// A word of a closed list.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Unfit;
    type Variant = Bare;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Bare), Unfit> {
        let word: StrDeserializer<'de, Unfit> = self.0.into_deserializer();
        seed.deserialize(word).map(|value| (value, Bare))
    }
}

/// A word stands alone.
struct Bare;

impl<'de> VariantAccess<'de> for Bare {
    type Error = Unfit;

    fn unit_variant(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Unfit> {
        Err(de::Error::custom("a word is expected here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Unfit> {
        Err(de::Error::custom("a word is expected here"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Unfit> {
        Err(de::Error::custom("a word is expected here"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fill<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fill<T> {
            type Value = Placed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a config file")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Placed<T>, A::Error> {
                let (line, column, start, end, origin) =
                    seq.next_element()?.ok_or_else(|| de::Error::custom("a place is missing"))?;
                let value = seq.next_element()?.ok_or_else(|| de::Error::custom("a value is missing"))?;
                Ok(Placed { value, place: Place { line, column, start, end, origin } })
            }
        }
        deserializer.deserialize_newtype_struct(PLACED, Fill(PhantomData))
    }
}

impl<'de, S: Deserialize<'de>, L: Deserialize<'de>> Deserialize<'de> for Either<S, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fill<S, L>(PhantomData<(S, L)>);
        impl<'de, S: Deserialize<'de>, L: Deserialize<'de>> Visitor<'de> for Fill<S, L> {
            type Value = Either<S, L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in its short or long form")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Either<S, L>, A::Error> {
                let missing = || de::Error::custom("a value is missing");
                let (long,): (u32,) = seq.next_element()?.ok_or_else(missing)?;
                if long == 0 {
                    seq.next_element()?.map(Either::Short).ok_or_else(missing)
                } else {
                    seq.next_element()?.map(Either::Long).ok_or_else(missing)
                }
            }
        }
        deserializer.deserialize_newtype_struct(EITHER, Fill(PhantomData))
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Table<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fill<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Fill<K, V> {
            type Value = Table<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<K, V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }
        deserializer.deserialize_map(Fill(PhantomData))
    }
}

impl<T: PartialEq> PartialEq for Placed<T> {
    /// Equal values are equal wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Placed<T> {}

impl<T: PartialOrd> PartialOrd for Placed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

/// In a schema a wrapper is what it wraps.
mod schemas {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Either, Placed, Table};

    impl<T: JsonSchema> JsonSchema for Placed<T> {
        fn inline_schema() -> bool {
            T::inline_schema()
        }

        fn schema_name() -> Cow<'static, str> {
            T::schema_name()
        }

        fn schema_id() -> Cow<'static, str> {
            T::schema_id()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            T::json_schema(generator)
        }
    }

    impl<S: JsonSchema, L: JsonSchema> JsonSchema for Either<S, L> {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            format!("{}Or{}", S::schema_name(), L::schema_name()).into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let (short, long) = (generator.subschema_for::<S>(), generator.subschema_for::<L>());
            json_schema!({"anyOf": [short, long]})
        }
    }

    impl<K: JsonSchema, V: JsonSchema> JsonSchema for Table<K, V> {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            format!("TableOf{}", V::schema_name()).into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let (keys, values) = (generator.subschema_for::<K>(), generator.subschema_for::<V>());
            json_schema!({"type": "object", "propertyNames": keys, "additionalProperties": values})
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{Either, Placed, Table, value};
    use crate::config::yaml::parse;

    #[derive(Debug, Deserialize)]
    struct Sample {
        version: Placed<String>,
        day: String,
        quoted: Option<String>,
        count: Placed<u32>,
        on: bool,
        mode: Placed<Mode>,
        rate: Either<u32, Rate>,
        burst: Either<u32, Rate>,
        weights: Table<Mode, u8>,
        list: Vec<Placed<String>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Off,
        Required,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Rate {
        rate: u32,
    }

    const TEXT: &str = "version: 20250929\nday: 2027-01-01\nquoted: \"1\"\ncount: 3\non: true\nmode: off\nrate: 5\n\
                        burst: {rate: 7}\nweights: {required: 70, off: 1}\nlist: [a, 1.5]\n";

    #[test]
    fn text_takes_any_bare_scalar_and_wrappers_keep_places() {
        let tree = parse(TEXT).unwrap();
        let sample: Sample = value(&tree).unwrap();
        assert_eq!(sample.version.value, "20250929");
        assert_eq!((sample.version.place.line, sample.version.place.column), (1, 10));
        assert_eq!(sample.day, "2027-01-01");
        assert_eq!(sample.quoted.as_deref(), Some("1"));
        assert_eq!(sample.count.value, 3);
        assert!(sample.on);
        assert_eq!(sample.mode.value, Mode::Off);
        assert!(matches!(sample.rate, Either::Short(5)));
        assert!(matches!(sample.burst, Either::Long(Rate { rate: 7 })));
        let (key, weight) = &sample.weights.0[0];
        assert_eq!((&key.value, weight.value), (&Mode::Required, 70));
        assert_eq!((key.place.line, key.place.column), (9, 11));
        assert_eq!(sample.list[1].value, "1.5");
    }

    #[test]
    fn a_number_in_quotes_is_no_number_and_the_flaw_has_its_place() {
        let tree = parse(&TEXT.replace("count: 3", "count: \"3\"")).unwrap();
        let flaw = value::<Sample>(&tree).unwrap_err();
        assert_eq!((flaw.place.line, flaw.place.column), (4, 8));
    }
}
