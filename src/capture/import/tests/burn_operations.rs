//! Every operation of Burn's recordings, one sample each. Nothing here names one: the enums list their variants to
//! whoever deserializes them, so that an operation of a new release of Burn comes by itself.

use std::{cell::RefCell, collections::BTreeMap};

use burn_ir::OperationIr;
use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess,
        Visitor, value::Error,
    },
};

type Variants = &'static [&'static str];

/// An operation of Burn: its kind and name as in `NumericFloat`, `Add`, and a sample.
pub(super) struct BurnOperation {
    pub kind: &'static str,
    pub name: &'static str,
    pub sample: OperationIr,
}

/// All operations of Burn's recordings.
pub(super) fn all() -> Vec<BurnOperation> {
    let outer = "OperationIr";
    let kinds = Maker::new(&[]).enums_of_an_operation()[outer];
    let mut all = Vec::new();
    for &kind in kinds {
        let enums = Maker::new(&[(outer, kind)]).enums_of_an_operation();
        let inner = enums.iter().find(|(name, _)| name.ends_with("OperationIr") && **name != outer);
        match inner {
            Some((inner, names)) => all.extend(names.iter().map(|name| BurnOperation {
                kind,
                name,
                sample: Maker::new(&[(outer, kind), (inner, name)]).operation(),
            })),
            None => all.push(BurnOperation {
                kind,
                name: kind,
                sample: Maker::new(&[(outer, kind)]).operation(),
            }),
        }
    }
    all
}

/// Makes a value of any type: ones, empty lists, and of each enum the chosen variant or else the first.
struct Maker<'a> {
    chosen: &'a [(&'static str, &'static str)],
    /// The variants of each enum on the way.
    enums: RefCell<BTreeMap<&'static str, Variants>>,
}

impl<'a> Maker<'a> {
    fn new(chosen: &'a [(&'static str, &'static str)]) -> Self {
        Self { chosen, enums: RefCell::default() }
    }

    fn operation(&self) -> OperationIr {
        OperationIr::deserialize(self).expect("a sample of every operation can be made")
    }

    fn enums_of_an_operation(&self) -> BTreeMap<&'static str, Variants> {
        self.operation();
        self.enums.borrow().clone()
    }

    fn choose(&self, name: &'static str, variants: Variants) -> &'static str {
        self.enums.borrow_mut().insert(name, variants);
        // Of the updates of a scatter, addition exists for every kind of tensor.
        let chosen = self.chosen.iter().chain(&[("IndexingUpdateOp", "Add")]);
        let chosen = chosen.into_iter().find(|(of, _)| *of == name).map(|(_, variant)| *variant);
        chosen.unwrap_or(variants[0])
    }
}

/// A list of the given number of values, made one by one.
struct Values<'a>(&'a Maker<'a>, usize);

impl<'de> SeqAccess<'de> for Values<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.1.checked_sub(1) else {
            return Ok(None);
        };
        self.1 = left;
        seed.deserialize(self.0).map(Some)
    }
}

/// A chosen variant.
struct Chosen<'a>(&'a Maker<'a>, &'static str);

impl<'de, 'a> EnumAccess<'de> for Chosen<'a> {
    type Error = Error;
    type Variant = &'a Maker<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, &'a Maker<'a>), Error> {
        Ok((seed.deserialize(IntoDeserializer::<Error>::into_deserializer(self.1))?, self.0))
    }
}

impl<'de> VariantAccess<'de> for &Maker<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, len))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: Variants,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, fields.len()))
    }
}

/// Types without parts are made of a constant each.
macro_rules! constants {
    ($($method:ident: $visit:ident($($value:expr)?);)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($($value)?)
        }
    )+};
}

impl<'de, 'a> Deserializer<'de> for &'a Maker<'a> {
    type Error = Error;

    constants! {
        deserialize_any: visit_unit();
        deserialize_bool: visit_bool(true);
        deserialize_i8: visit_i8(1);
        deserialize_i16: visit_i16(1);
        deserialize_i32: visit_i32(1);
        deserialize_i64: visit_i64(1);
        deserialize_u8: visit_u8(1);
        deserialize_u16: visit_u16(1);
        deserialize_u32: visit_u32(1);
        deserialize_u64: visit_u64(1);
        deserialize_f32: visit_f32(1.0);
        deserialize_f64: visit_f64(1.0);
        deserialize_char: visit_char('x');
        deserialize_str: visit_str("x");
        deserialize_string: visit_str("x");
        deserialize_bytes: visit_bytes(&[]);
        deserialize_byte_buf: visit_bytes(&[]);
        deserialize_option: visit_none();
        deserialize_unit: visit_unit();
        deserialize_identifier: visit_u64(0);
        deserialize_ignored_any: visit_unit();
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, 0))
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("no type of Burn's recordings holds a map"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, len))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, len))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: Variants,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Values(self, fields.len()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: Variants,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Chosen(self, self.choose(name, variants)))
    }
}
