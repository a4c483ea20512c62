//! The pages of the documentation are complete, and their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The public names of `multiprocessing` and its modules, of `concurrent.futures`, and of their classes, as of Python 3.11, and
/// what came with 3.13 and 3.14; under the headings of the page.
const PYTHON: [(&str, &str); 10] = [
    (
        "Processes",
        "Process BaseProcess authkey close daemon exitcode ident is_alive join kill name pid run sentinel start terminate \
         interrupt target args kwargs active_children cpu_count process_cpu_count current_process parent_process",
    ),
    (
        "Start methods and the program",
        "set_start_method get_start_method get_all_start_methods get_context SpawnContext ForkContext ForkServerContext \
         set_forkserver_preload set_executable freeze_support",
    ),
    (
        "Queues",
        "Queue JoinableQueue SimpleQueue cancel_join_thread close empty full get get_nowait join join_thread put put_nowait \
         qsize task_done Full Empty",
    ),
    (
        "Pipes and connections",
        "Pipe Connection close closed fileno poll readable recv recv_bytes recv_bytes_into send send_bytes writable Listener \
         Client accept address last_accepted wait allow_connection_pickling reducer",
    ),
    (
        "Locks",
        "Lock acquire release locked RLock Semaphore get_value BoundedSemaphore Condition notify notify_all wait wait_for \
         Event clear is_set set Barrier abort broken n_waiting parties reset BrokenBarrierError",
    ),
    (
        "Shared memory",
        "Value value get_lock get_obj RawValue Array RawArray copy synchronized Synchronized SynchronizedArray SharedMemory \
         buf close name size unlink track ShareableList count format index SharedMemoryManager",
    ),
    (
        "Managers",
        "Manager BaseManager SyncManager BaseProxy Token id typeid register connect get_server shutdown dict list set Namespace Value \
         Array Lock Event Queue Pool",
    ),
    (
        "Pools",
        "Pool apply apply_async close imap imap_unordered join map map_async starmap starmap_async terminate initializer \
         initargs maxtasksperchild chunksize AsyncResult get ready successful wait next ThreadPool callback error_callback \
         MaybeEncodingError",
    ),
    (
        "Executors and futures",
        "Executor ProcessPoolExecutor ThreadPoolExecutor InterpreterPoolExecutor map shutdown submit max_workers mp_context initializer \
         max_tasks_per_child cancel_futures buffersize terminate_workers kill_workers Future add_done_callback cancel cancelled \
         done exception result running set_exception set_result set_running_or_notify_cancel InvalidStateError wait \
         FIRST_COMPLETED FIRST_EXCEPTION ALL_COMPLETED as_completed CancelledError BrokenExecutor BrokenProcessPool \
         BrokenThreadPool",
    ),
    (
        "Exceptions and the rest",
        "ProcessError TimeoutError AuthenticationError BufferTooShort EOFError BrokenPipeError get_logger log_to_stderr SUBDEBUG SUBWARNING \
         Finalize register_after_fork",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What is below a heading, up to the next one of the same level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let rest = &page[start + 1..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The words in code that stand in the first column of a table.
fn words_of_first_column(section: &str) -> BTreeSet<&str> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let code = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect()
}

#[test]
fn every_name_of_python_is_on_its_page() {
    let page = page("docs/coming-from-python.md");
    let mut missing = Vec::new();
    for (heading, names) in PYTHON {
        let there = words_of_first_column(section(&page, heading));
        let absent = names.split_whitespace().filter(|name| !there.contains(name));
        missing.extend(absent.map(|name| format!("{heading}: {name}")));
    }
    assert!(missing.is_empty(), "docs/coming-from-python.md lacks {missing:#?}");
}

/// What Python itself calls public, in the version that is here.
fn names_of_python() -> Option<String> {
    let python = std::env::var_os("PROCESSION_PYTHON").unwrap_or_else(|| "python3".into());
    let output =
        Command::new(python).args(["-c", include_str!("python_names.py")]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The list above was written by people, and Python goes on.
#[test]
fn every_name_that_python_knows_is_on_its_page() {
    let Some(names) = names_of_python() else {
        let test = "every_name_that_python_knows_is_on_its_page";
        return skips::skipped(test, "there is no python3 here, and PROCESSION_PYTHON names none");
    };
    assert!(names.lines().count() > 100, "too few to be all:\n{names}");
    let page = page("docs/coming-from-python.md");
    let there = words_of_first_column(&page);
    let missing: Vec<_> = names.lines().filter(|name| !there.contains(name)).collect();
    assert!(missing.is_empty(), "docs/coming-from-python.md lacks {missing:#?}");
}

/// The name of a public enum of errors and the names of its variants.
type Errors = (String, Vec<String>);

/// The enums of errors in a file, which rustfmt has formatted: variants are indented by four spaces.
fn errors_in(source: &str) -> Vec<Errors> {
    let lines: Vec<&str> = source.lines().collect();
    let starts = (0..lines.len()).filter(|at| is_error(&lines[..=*at]));
    let enums = starts.map(|at| {
        let name = lines[at]["pub enum ".len()..].split([' ', '<']).next().unwrap().to_owned();
        let body = lines[at + 1..].iter().take_while(|line| **line != "}");
        (name, body.filter_map(|line| variant(line)).collect())
    });
    enums.collect()
}

/// Whether the last line begins a public enum whose attributes or whose name make it one of errors.
fn is_error(lines: &[&str]) -> bool {
    let (last, above) = lines.split_last().unwrap();
    let mut attributes = above.iter().rev().take_while(|line| line.starts_with("#["));
    let Some(name) = last.strip_prefix("pub enum ") else { return false };
    name.contains("Error") || attributes.any(|line| line.contains("thiserror::Error"))
}

fn variant(line: &str) -> Option<String> {
    let name = line.strip_prefix("    ")?;
    let name = name.split([' ', '(', '{', ',']).next()?;
    name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| name.to_owned())
}

fn errors_of_all_crates() -> Vec<Errors> {
    let mut folders = vec![root().join("crates")];
    let mut errors = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                errors.extend(errors_in(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    errors
}

/// What is below the headings of an enum, of which there may be several with one name in different modules.
fn sections_of<'a>(page: &'a str, name: &str) -> Vec<BTreeSet<&'a str>> {
    let sections = page.split("\n### ").filter(|section| {
        let heading = section.lines().next().unwrap().trim_matches('`');
        heading.rsplit("::").next() == Some(name)
    });
    sections.map(words_of_first_column).collect()
}

#[test]
fn every_error_is_on_its_page() {
    let page = page("docs/errors.md");
    let errors = errors_of_all_crates();
    let count: usize = errors.iter().map(|(_, variants)| variants.len()).sum();
    assert!(errors.len() >= 19 && count >= 120, "found {} enums, {count} variants", errors.len());
    let mut missing = Vec::new();
    for (name, variants) in &errors {
        let sections = sections_of(&page, name);
        let names_all = |section: &BTreeSet<&str>| variants.iter().all(|v| section.contains(&**v));
        if !sections.iter().any(names_all) {
            missing.push(format!("`{name}` with {}", variants.join(", ")));
        }
    }
    assert!(missing.is_empty(), "docs/errors.md lacks a section, or rows of it, for {missing:#?}");
}

/// A row stays behind easily when its variant goes.
#[test]
fn no_row_is_about_an_error_that_is_gone() {
    let page = page("docs/errors.md");
    let errors = errors_of_all_crates();
    let mut gone = Vec::new();
    for (name, _) in &errors {
        let same_name = errors.iter().filter(|(other, _)| other == name);
        let variants: BTreeSet<&str> =
            same_name.flat_map(|(_, variants)| variants.iter().map(String::as_str)).collect();
        let rows = sections_of(&page, name).into_iter().flatten();
        gone.extend(rows.filter(|row| !variants.contains(row)).map(|row| format!("{name}::{row}")));
    }
    assert!(gone.is_empty(), "docs/errors.md is about {gone:#?}, which no code has");
}

/// An example is a file, or a folder of files.
fn source_of_example(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    let files = fs::read_dir(path).unwrap();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// Who copies an example has the crate that it is about, and nothing else.
#[test]
fn an_example_names_the_crates_that_it_needs_besides() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("crates/procession/examples")).unwrap() {
        let path = entry.unwrap().path();
        let source = source_of_example(&path);
        let imports = source.lines().filter_map(|line| line.strip_prefix("use "));
        let crates = imports.map(|import| import.split("::").next().unwrap());
        for name in crates.filter(|name| !matches!(*name, "std" | "crate" | "procession")) {
            let mut commands = source.split("`cargo add ").skip(1);
            let is_said = commands.any(|rest| {
                rest.split('`').next().unwrap().split_whitespace().any(|word| word == name)
            });
            assert!(is_said, "{}: {name}", path.display());
        }
        count += 1;
    }
    assert!(count > 20, "only {count} examples were found");
}

/// The names below `[features]` in a manifest.
fn features_in(manifest: &str) -> Vec<&str> {
    let Some((_, below)) = manifest.split_once("\n[features]\n") else { return Vec::new() };
    let lines = below.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = [")).map(|(name, _)| name).collect()
}

#[test]
fn every_feature_is_in_the_readme_of_its_crate() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        for feature in features_in(&manifest) {
            assert!(readme.contains(&format!("`{feature}`")), "{}: {feature}", folder.display());
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} features were found");
}

#[test]
fn links_lead_to_files() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(|name| root().join(name))
            .into();
    for folder in ["docs", "crates"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.map(|path| if path.is_dir() { path.join("README.md") } else { path }));
    }
    let dead: Vec<_> = pages.iter().flat_map(|page| dead_links(page)).collect();
    assert!(dead.is_empty(), "{dead:#?}");
}

fn dead_links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap());
    let local = files.filter(|file| !file.is_empty() && !file.contains("://"));
    let dead = local.filter(|file| !page.parent().unwrap().join(file).exists());
    dead.map(|file| format!("{}: {file}", page.display())).collect()
}
