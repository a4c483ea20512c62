#!/bin/sh
# The first process of the virtual machine: mounts what is needed, delegates a group, runs the tests in it, as root and as nobody.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
chmod 1777 /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
app=/sys/fs/cgroup/app
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
mkdir -p $app/main
export PROCESSION_CGROUP=$app RUST_BACKTRACE=0

# run USER TEST: in a shell of its own, which enters the group first.
run() {
  echo 0 > $app/main/cgroup.procs
  [ "$1" = nobody ] && chown -R nobody $app
  cd /tmp && su -s /bin/sh "$1" -c "timeout 600 $2 cgroup --test-threads 1"
}
uname -sr
for user in root nobody; do
  for test in /tests/*; do
    (run $user "$test") && echo "PASSED $user $test" || echo "FAILED $user $test"
  done
done
sleep 1
ls -d $app/procession-* 2> /dev/null && echo "FAILED groups were left behind"
echo "THE END"
poweroff -f
