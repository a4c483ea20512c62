//! What is sent of an event or a span.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::Metadata;
use tracing::field::{Field, Visit};

use super::number;

/// How many bytes a packet has at most.
pub(super) const PACKET_LEN_MAX: usize = 16 << 10;

/// How many bytes a text in it has at most: a value, a name.
pub(super) const VALUE_LEN_MAX: usize = 4 << 10;
pub(super) const NAME_LEN_MAX: usize = 256;

/// How many fields there are at most.
pub(super) const FIELDS_MAX: usize = 32;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record {
    /// A span was made.
    Open {
        span: u64,
        parent: Option<u64>,
        call: Option<u64>,
        place: Place,
        values: Values,
    },
    /// A span has more values.
    Values {
        span: u64,
        values: Values,
    },
    /// Nobody has a span any more.
    Close {
        span: u64,
    },
    Event {
        parent: Option<u64>,
        call: Option<u64>,
        place: Place,
        values: Values,
    },
    /// So much was not sent.
    Lost {
        call: Option<u64>,
        count: u64,
    },
}

impl Record {
    /// The call of which an item was run.
    pub(super) fn call(&self) -> Option<u64> {
        match self {
            Self::Open { call, .. } | Self::Event { call, .. } | Self::Lost { call, .. } => *call,
            Self::Values { .. } | Self::Close { .. } => None,
        }
    }
}

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) is_span: bool,
    pub(super) name: String,
    pub(super) target: String,
    /// From 1 for errors to 5.
    pub(super) level: u8,
    pub(super) module: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) fields: Vec<String>,
}

impl Place {
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        Self {
            is_span: metadata.is_span(),
            name: metadata.name().to_owned(),
            target: metadata.target().to_owned(),
            level: number(*metadata.level()),
            module: metadata.module_path().map(str::to_owned),
            file: metadata.file().map(str::to_owned),
            line: metadata.line(),
            fields: metadata.fields().iter().map(|field| field.name().to_owned()).collect(),
        }
    }

    /// Whether it is as an honest worker's is: everything of it is kept for ever.
    pub(super) fn is_modest(&self) -> bool {
        let texts =
            [Some(&self.name), Some(&self.target), self.module.as_ref(), self.file.as_ref()];
        let mut texts = texts.into_iter().flatten().chain(&self.fields);
        (1..=5).contains(&self.level)
            && self.fields.len() <= FIELDS_MAX
            && texts.all(|text| text.len() <= NAME_LEN_MAX)
    }
}

/// The values of fields, by the index of the field.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Values(pub(super) Vec<(u32, Value)>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Value {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// What the value's `Debug` or `Display` has written.
    Shown(String),
}

impl Values {
    fn push(&mut self, field: &Field, value: Value) {
        if let Ok(index) = u32::try_from(field.index()) {
            self.0.push((index, value));
        }
    }
}

fn shortened(mut text: String) -> String {
    let mut len = text.len().min(VALUE_LEN_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.truncate(len);
    text
}

impl Visit for Values {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(shortened(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Shown(shortened(format!("{value:?}"))));
    }
}
