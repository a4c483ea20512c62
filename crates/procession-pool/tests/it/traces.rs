//! What tasks tell `tracing` is told in this process, under the caller's span.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use procession_pool::{Pool, TaskError};
use procession_process::StartMethod;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber, debug, error, info, info_span, trace, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::trap::{How, assert_sound};

/// What was told, one entry for each event.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    level: Level,
    target: String,
    /// The names and values of the spans that it was in, the outermost first.
    spans: Vec<String>,
    text: String,
}

#[derive(Default)]
struct Text(BTreeMap<&'static str, String>);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&fields.join(" "))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Told {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = Text::default();
        attributes.record(&mut text);
        context.span(id).unwrap().extensions_mut().insert(text);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Text>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let scope = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let spans = scope
            .map(|span| format!("{}{{{}}}", span.name(), span.extensions().get::<Text>().unwrap()));
        self.0.lock().unwrap().push(Entry {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            spans: spans.collect(),
            text: text.to_string(),
        });
    }
}

impl Told {
    fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Waits for so many: whoever drives the pool tells them, and that may be another thread than the one that has the result.
    fn wait(&self, count: usize) -> Vec<Entry> {
        eventually("it is told", || self.0.lock().unwrap().len() >= count);
        self.take()
    }
}

/// Runs a test with a subscriber of its own on its thread, which wants what is at least this severe.
fn listening(level: LevelFilter, test: impl FnOnce(&Told) + Send + 'static) {
    guarded(move || {
        let told = Told::default();
        let subscriber = tracing_subscriber::registry().with(told.clone()).with(level);
        tracing::subscriber::with_default(subscriber, || test(&told));
    });
}

fn decode(number: u64) -> u64 {
    let span = info_span!("decode", number, size = tracing::field::Empty);
    let _entered = span.enter();
    span.record("size", 2 * number);
    info!(target: "decoder", ok = true, ratio = 0.5, text = "a b", "decoded {number}");
    number
}

#[test]
fn an_event_in_a_task_is_told_under_the_span_of_its_caller() {
    for method in [StartMethod::Spawn, StartMethod::Inline] {
        listening(LevelFilter::INFO, move |told| {
            let pool = Pool::builder().workers(2).start_method(method).build().unwrap();
            for request in 0..3_u64 {
                let span = info_span!("request", request);
                assert_eq!(span.in_scope(|| pool.apply(decode, request)).unwrap(), request);
                let entry = Entry {
                    level: Level::INFO,
                    target: "decoder".to_owned(),
                    spans: vec![
                        format!("request{{request={request}}}"),
                        format!("decode{{number={request} size={}}}", 2 * request),
                    ],
                    text: format!("message=decoded {request} ok=true ratio=0.5 text=\"a b\""),
                };
                assert_eq!(told.wait(1), [entry]);
            }
        });
    }
}

/// Each under the span in which its call was made, whoever drives the pool, and before its result.
#[test]
fn calls_that_are_mixed_are_told_apart() {
    listening(LevelFilter::INFO, |told| {
        let pool = Pool::with_workers(2).unwrap();
        let say = |n: u64| info!(n);
        let tasks: Vec<_> = (0..50_u64)
            .map(|n| info_span!("submitted", n).in_scope(|| pool.submit(say, n).unwrap()))
            .collect();
        let span = info_span!("mapped");
        span.in_scope(|| pool.map(say, 100..200).unwrap());
        tasks.into_iter().for_each(|task| task.get().unwrap());
        let mut seen: Vec<_> =
            told.wait(150).into_iter().map(|entry| (entry.text, entry.spans)).collect();
        seen.sort();
        let submitted = (0..50).map(|n| (format!("n={n}"), vec![format!("submitted{{n={n}}}")]));
        let mapped = (100..200).map(|n| (format!("n={n}"), vec!["mapped{}".to_owned()]));
        let mut expected: Vec<_> = submitted.chain(mapped).collect();
        expected.sort();
        assert_eq!(seen, expected);
    });
}

#[test]
fn only_what_somebody_wants_is_sent() {
    fn speak(_: ()) -> Vec<bool> {
        trace!("trace");
        debug!("debug");
        warn!("warn");
        error!("error");
        vec![
            tracing::enabled!(Level::ERROR),
            tracing::enabled!(Level::WARN),
            tracing::enabled!(Level::DEBUG),
        ]
    }
    listening(LevelFilter::WARN, |told| {
        let pool = Pool::with_workers(1).unwrap();
        assert_eq!(pool.apply(speak, ()).unwrap(), [true, true, false]);
        let texts: Vec<String> = told.wait(2).into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["message=warn", "message=error"]);
    });
}

/// What a worker has said outlives it: that is when it is wanted most.
#[test]
fn the_last_words_of_a_worker_are_heard() {
    listening(LevelFilter::INFO, |told| {
        let pool = Pool::with_workers(1).unwrap();
        let die = |n: u64| {
            (0..n).for_each(|step| info!(step));
            How::Kill.happen().unwrap();
        };
        for n in 1..10 {
            let error = info_span!("deadly").in_scope(|| pool.apply(die, n)).unwrap_err();
            assert!(matches!(error, TaskError::Died { .. }), "{error:?}");
            let entries = told.wait(usize::try_from(n).unwrap());
            assert!(entries.iter().all(|entry| entry.spans == ["deadly{}"]), "{entries:?}");
            let texts: Vec<String> = entries.into_iter().map(|entry| entry.text).collect();
            assert_eq!(texts, (0..n).map(|step| format!("step={step}")).collect::<Vec<_>>());
        }
        assert_sound(&pool);
    });
}

/// Whoever hears the first word takes his time to tell it. Another thread drives the pool meanwhile, and hears the second.
#[test]
fn words_are_told_in_their_order_whoever_hears_them() {
    struct Slow;
    impl<S: Subscriber> Layer<S> for Slow {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut text = Text::default();
            event.record(&mut text);
            if text.to_string() == "step=0" {
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }
    fn talk(pause_ms: u64) {
        for step in 0..3 {
            info!(step);
            std::thread::sleep(Duration::from_millis(pause_ms));
        }
    }
    guarded(|| {
        let told = Told::default();
        let subscriber = tracing_subscriber::registry().with(Slow.and_then(told.clone()));
        tracing::subscriber::with_default(subscriber.with(LevelFilter::INFO), || {
            let pool = Pool::with_workers(1).unwrap();
            let talking = pool.submit(talk, 50).unwrap();
            std::thread::scope(|scope| {
                // Two wait, so that there is one to drive while the other tells.
                scope.spawn(|| pool.apply(|()| (), ()).unwrap());
                talking.get().unwrap();
            });
            let texts: Vec<String> = told.wait(3).into_iter().map(|entry| entry.text).collect();
            assert_eq!(texts, ["step=0", "step=1", "step=2"]);
        });
    });
}

/// How many words were heard, and how many are known to be lost.
fn heard_and_lost(told: &Told) -> (u64, u64) {
    let is_last = |entry: &Entry| entry.text == "message=at last";
    eventually("its last word", || told.0.lock().unwrap().iter().any(is_last));
    let texts: Vec<String> = told.take().into_iter().map(|entry| entry.text).collect();
    let count = |text: &String| text.split("count=").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    let words = texts.iter().filter(|text| text.starts_with("word=")).count();
    (words as u64, texts.iter().filter_map(count).sum())
}

/// It is heard as far as it is not too fast, the rest is counted, and its result comes all the same.
#[test]
fn a_worker_that_talks_without_end_costs_its_parent_little() {
    const WORDS: u64 = 15_000;
    listening(LevelFilter::INFO, |told| {
        let pool = Pool::with_workers(1).unwrap();
        let talk = |n: u64| (0..n).for_each(|word| info!(word));
        pool.apply(talk, WORDS).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        pool.apply(|_: ()| info!("at last"), ()).unwrap();
        let (heard, lost) = heard_and_lost(told);
        assert!(heard > 0 && heard + lost == WORDS, "{heard} and {lost} of {WORDS}");
        assert_sound(&pool);
    });
}

/// What nobody listens to is dropped when the socket is full. The worker goes on.
#[test]
fn a_worker_that_nobody_listens_to_goes_on() {
    const WORDS: u64 = 5000;
    listening(LevelFilter::INFO, |told| {
        let pool = Pool::with_workers(1).unwrap();
        let ledger = Ledger::new();
        let talk = |(ledger, n): (String, u64)| {
            (0..n).for_each(|word| info!(word));
            record(&ledger, 1);
            if n == 0 {
                std::thread::sleep(Duration::from_millis(1100));
                info!("at last");
            }
        };
        let items = [(ledger.path(), 1), (ledger.path(), WORDS - 1), (ledger.path(), 0)];
        let mut stream = pool.job().chunk(1).window(3).imap(talk, items);
        stream.next().unwrap().unwrap();
        // From here on this thread does not look.
        eventually("it has said all", || ledger.entries().len() >= 2);
        assert_eq!(stream.filter(Result::is_ok).count(), 2);
        let (heard, lost) = heard_and_lost(told);
        assert!(heard > 0 && lost > 0 && heard + lost == WORDS, "{heard} and {lost} of {WORDS}");
        assert_sound(&pool);
    });
}

/// An initializer is nobody's call: what it says belongs to who made the pool.
#[test]
fn initializers_are_heard() {
    listening(LevelFilter::INFO, |told| {
        let builder = Pool::builder().workers(1).initializer(|| info!("loaded"));
        let pool = info_span!("start").in_scope(|| builder.build()).unwrap();
        assert_sound(&pool);
        let entries = told.wait(1);
        let loaded = entries.iter().find(|entry| entry.text == "message=loaded");
        assert_eq!(loaded.unwrap().spans, ["start{}"]);
    });
}

/// A worker that is itself a caller passes on what its own workers say.
#[test]
fn what_a_pool_in_a_worker_is_told_comes_up() {
    listening(LevelFilter::INFO, |told| {
        let pool = Pool::with_workers(1).unwrap();
        let outer = |n: u64| {
            let pool = Pool::with_workers(1).unwrap();
            info_span!("outer", n).in_scope(|| pool.apply(|n: u64| info!(n), n + 1)).unwrap();
        };
        info_span!("here").in_scope(|| pool.apply(outer, 1)).unwrap();
        let entries = told.wait(1);
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0].text, "n=2");
        assert_eq!(entries[0].spans, ["here{}", "outer{n=1}"]);
    });
}
