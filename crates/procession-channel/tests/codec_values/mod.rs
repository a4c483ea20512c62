//! How to make values of the types in `codec_types`.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::codec_types::{Bytes, Newtype, Pair, Rich, Shape, Unit};

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    Just(Shape::Leaf).prop_recursive(8, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(Shape::Node),
            (boxed.clone(), any::<i32>()).prop_map(|(shape, number)| Shape::Both(shape, number)),
            (any::<u8>(), proptest::option::of(boxed))
                .prop_map(|(left, right)| Shape::Named { left, right }),
            vec(inner, 0..4).prop_map(Shape::Many),
        ]
    })
}

pub(crate) fn rich() -> impl Strategy<Value = Rich> {
    let names = (any::<u32>(), any::<(i16, String)>(), any::<(bool, Option<char>, [i8; 3])>());
    let scalars = (any::<(u128, i128)>(), any::<String>(), any::<Result<u8, String>>());
    let lists = (vec(any::<u8>(), 0..20), vec(any::<i64>(), 0..20), 0_usize..20);
    let maps = (
        btree_set(any::<u16>(), 0..8),
        btree_map(any::<String>(), vec(any::<Option<u64>>(), 0..4), 0..4),
    );
    (names, scalars, lists, maps, shape()).prop_map(|(names, scalars, lists, maps, shape)| Rich {
        unit: Unit,
        newtype: Newtype(names.0),
        pair: Pair(names.1.0, names.1.1),
        flags: names.2,
        wide: scalars.0,
        text: scalars.1,
        outcome: scalars.2,
        bytes: Bytes(lists.0),
        numbers: lists.1,
        empties: vec![Unit; lists.2],
        set: maps.0,
        map: maps.1,
        shape,
    })
}
