//! `machine`: the tests of cgroups in a virtual machine, whose kernel has delegated a group to them.
//!
//! They need cgroup version 2 with the memory controller, and a group that is theirs, which few machines have for whoever builds.
//! So an initial file system is made of busybox, the test programs and the libraries that these need, and a kernel is started
//! with it in qemu, without any image or network. Any kernel will do that has virtual consoles and cgroups built in.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Verdict;
use crate::board::Board;
use crate::command::{Finished, Invocation};
use crate::tally::Tally;
use crate::workspace::Workspace;

const INIT: &str = include_str!("machine/init.sh");
const USERS: &str = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
const PACKAGES: [&str; 2] = ["procession-pool", "procession-process"];

/// Emulated, so that it runs inside other virtual machines, too. It is slow but does not wait for anybody.
const QEMU: &str = "qemu-system-x86_64 -accel tcg -smp 1 -m 1024 -nographic -no-reboot -net none";

pub(crate) fn run(args: &[String]) -> Verdict {
    let kernel = match args {
        [] => PathBuf::from(format!("/boot/vmlinuz-{}", release()?)),
        [kernel] => kernel.into(),
        _ => return Err("usage: cargo xtask machine [kernel image]".into()),
    };
    let workspace = Workspace::find()?;
    let mut board = Board::new(workspace.root().to_owned());
    if let Some(reason) = missing(&workspace, &kernel) {
        board.skip("machine", &reason);
        return Ok(board.finish());
    }
    let place = workspace.target_dir().join("machine");
    furnish(&workspace, &place.join("root"))?;
    let finished = boot(&workspace, &place, &kernel)?;
    let tally = judge(&finished.output);
    board.add("machine", tally, finished.took);
    Ok(board.finish())
}

fn release() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

fn missing(workspace: &Workspace, kernel: &Path) -> Option<String> {
    let is_there = |line: &str| {
        let (program, args) = line.split_once(' ').unwrap_or((line, ""));
        Invocation::new(program).args(args).succeeds(workspace.root())
    };
    if !is_there("qemu-system-x86_64 --version") {
        Some("qemu-system-x86_64 is not installed".to_owned())
    } else if !is_there("busybox true") {
        Some("busybox is not installed (the static one is needed)".to_owned())
    } else if fs::File::open(kernel).is_err() {
        let kernel = kernel.display();
        Some(format!("{kernel} cannot be read: name a kernel image, `cargo xtask machine <image>`"))
    } else {
        None
    }
}

/// Puts together the initial file system.
fn furnish(workspace: &Workspace, root: &Path) -> Result<(), Box<dyn Error>> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    for directory in ["bin", "dev", "etc", "proc", "sys", "tests", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("init"), INIT)?;
    let mut script = String::from(
        "set -e; chmod +x init; cp $(command -v busybox) bin/busybox; bin/busybox --install -s bin;",
    );
    script.push_str(" for applet in bin/*; do [ -h $applet ] && ln -sf busybox $applet; done;");
    for package in PACKAGES {
        let program = test_program(workspace, package)?;
        script.push_str(&format!(
            " cp {0} tests/{package}; for lib in $(ldd {0} | grep -o '/[^ ]*'); do mkdir -p .${{lib%/*}}; cp -L $lib .$lib; done;",
            program.display()
        ));
    }
    script.push_str(" find . | busybox cpio -o -H newc 2> /dev/null | gzip -1 > ../initrd");
    succeed(Invocation::new("sh").args("-c").arg(&script).run(root)?).map(drop)
}

fn succeed(finished: Finished) -> Result<Finished, Box<dyn Error>> {
    if finished.success { Ok(finished) } else { Err("see above".into()) }
}

/// Builds the tests of a package; where the program is.
fn test_program(workspace: &Workspace, package: &str) -> Result<PathBuf, Box<dyn Error>> {
    let build = Invocation::cargo("test --test it --no-run --package").args(package);
    let finished = succeed(build.run(workspace.root())?)?;
    let named = finished.output.lines().find_map(|line| line.trim().strip_prefix("Executable "));
    let path = named.and_then(|line| line.rsplit_once('(')?.1.strip_suffix(')'));
    let path = path.ok_or("cargo did not say where the test program is")?;
    Ok(env::current_dir()?.join(workspace.root()).join(path))
}

fn boot(workspace: &Workspace, place: &Path, kernel: &Path) -> io::Result<Finished> {
    let qemu = Invocation::new("timeout").args("1800").args(QEMU);
    let qemu = qemu.args("-kernel").arg(&kernel.to_string_lossy());
    let qemu = qemu.args("-initrd").arg(&place.join("initrd").to_string_lossy());
    let line = "console=ttyS0 cgroup_no_v1=all panic=-1 loglevel=1";
    qemu.args("-append").arg(line).run(workspace.root())
}

/// Each test program is one test for each user. A machine that did not come to its end has failed, whatever it said
/// before, and so has one in which a test found nothing to do.
fn judge(output: &str) -> Tally {
    let count = |word| output.lines().filter(|line| line.starts_with(word)).count();
    let mut tally =
        Tally { passed: count("PASSED "), failed: count("FAILED "), ..Tally::default() };
    if count("THE END") != 1 || tally.passed == 0 || output.contains("SKIPPED: ") {
        tally += Tally::FAILED;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_that_came_to_its_end_has_passed() {
        let passed = "Linux 6.1\nPASSED root /tests/a\nPASSED nobody /tests/a\nTHE END\n";
        assert_eq!((judge(passed).passed, judge(passed).failed), (2, 0));
        let failed = "PASSED root /tests/a\nFAILED groups were left behind\nTHE END\n";
        assert_eq!((judge(failed).passed, judge(failed).failed), (1, 1));
        assert_eq!(judge("PASSED root /tests/a\nkernel panic\n").failed, 1);
        assert_eq!(judge("THE END\n").failed, 1);
        let skipped = "test a ... SKIPPED: a: no group\nok\nPASSED root /tests/a\nTHE END\n";
        assert_eq!(judge(skipped).failed, 1);
    }
}
