//! Call sites of another process, in this one.
//!
//! A subscriber keeps references to call sites for ever, so they are made once and never freed: there are at most so many of
//! them, of a bounded length.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use tracing::{Level, Metadata};
use tracing_core::callsite::{self, Callsite, Identifier};
use tracing_core::field::FieldSet;
use tracing_core::metadata::Kind;
use tracing_core::subscriber::Interest;

use super::record::Place;

/// How many are made.
const SITES_MAX: usize = 1024;

struct Site(OnceLock<Metadata<'static>>);

impl Callsite for Site {
    /// Whether anybody is interested is asked each time.
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0.get().expect("it is set before anybody gets to see the call site")
    }
}

/// The call site of this process that stands for a place in the code of another; none if it cannot be an honest one's, or there
/// are too many.
pub(super) fn of(place: &Place) -> Option<&'static Metadata<'static>> {
    static SITES: LazyLock<Mutex<HashMap<Place, &'static Site>>> = LazyLock::new(Mutex::default);
    let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(site) = sites.get(place) {
        return site.0.get();
    }
    if sites.len() >= SITES_MAX || !place.is_modest() {
        return None;
    }
    let site = make(place);
    sites.insert(place.clone(), site);
    drop(sites);
    // This asks all subscribers.
    callsite::register(site);
    site.0.get()
}

fn make(place: &Place) -> &'static Site {
    let text = |text: &String| -> &'static str { text.clone().leak() };
    let fields: Vec<&'static str> = place.fields.iter().map(text).collect();
    let site: &'static Site = Box::leak(Box::new(Site(OnceLock::new())));
    let level = match place.level {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    };
    site.0.get_or_init(|| {
        Metadata::new(
            text(&place.name),
            text(&place.target),
            level,
            place.file.as_ref().map(text),
            place.line,
            place.module.as_ref().map(text),
            FieldSet::new(fields.leak(), Identifier(site)),
            if place.is_span { Kind::SPAN } else { Kind::EVENT },
        )
    });
    site
}
