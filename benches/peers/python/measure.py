"""Python's own multiprocessing and concurrent.futures in the same cases, and faster-fifo where it is installed.

    measure.py list AREA
    measure.py run AREA CASE CONTESTANT [--quick]

A line of output is `name unit value`; the figure that counts is the first.
"""

import concurrent.futures
import math
import multiprocessing
import os
import sys
import time

CASES = {}
WORKERS = 2
quick = False


def case(area, name, contestant):
    """Registers a function as a contestant in a case."""

    def register(function):
        CASES[area, name, contestant] = function
        return function

    return register


def count(full):
    return max(full // 100, 1) if quick else full


def show(name, unit, value):
    print(name, unit, value)


def percentiles(samples_ns):
    samples_ns = sorted(samples_ns[len(samples_ns) // 10 :])
    show("p50", "ns", samples_ns[len(samples_ns) // 2])
    show("p99", "ns", samples_ns[len(samples_ns) * 99 // 100])


def timed_each(times, work):
    samples_ns = []
    for _ in range(max(count(times), 2)):
        start_ns = time.perf_counter_ns()
        work()
        samples_ns.append(time.perf_counter_ns() - start_ns)
    percentiles(samples_ns)


def rate(name, unit, amount, start_ns):
    show(name, unit, amount * 1e9 / (time.perf_counter_ns() - start_ns))


def wall(start_ns):
    show("wall", "ns", time.perf_counter_ns() - start_ns)


def two_processors():
    first, second, *_ = sorted(os.sched_getaffinity(0))
    return first, second


# pipe


def echo(pipe, processor):
    os.sched_setaffinity(0, {processor})
    while message := pipe.recv_bytes():
        pipe.send_bytes(message)


@case("pipe", "round-trip-8B-awake", "python-Pipe")
def pipe_round_trips():
    here, there = two_processors()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=echo, args=(theirs, there))
    child.start()
    os.sched_setaffinity(0, {here})

    def exchange():
        ours.send_bytes(b"7" * 8)
        ours.recv_bytes()

    timed_each(10_000, exchange)
    ours.send_bytes(b"")
    child.join()


def drain(pipe, processor):
    os.sched_setaffinity(0, {processor})
    while pipe.recv_bytes():
        pass
    pipe.send_bytes(b"done")


def pipe_throughput(length):
    def run():
        here, there = two_processors()
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.Process(target=drain, args=(theirs, there))
        child.start()
        os.sched_setaffinity(0, {here})
        message, sent = b"7" * length, 0
        burst = min(max(65_536 // length, 1), 1024)
        start_ns = time.perf_counter_ns()
        while time.perf_counter_ns() - start_ns < count(400_000_000):
            for _ in range(burst):
                ours.send_bytes(message)
            sent += burst
        ours.send_bytes(b"")
        ours.recv_bytes()
        rate("messages", "/s", sent, start_ns)
        child.join()

    return run


for name, length in [("8B", 8), ("64B", 64), ("1KiB", 1 << 10), ("64KiB", 1 << 16), ("1MiB", 1 << 20)]:
    case("pipe", f"throughput-{name}", "python-Pipe")(pipe_throughput(length))


# queue


def put_all(queue, amount):
    message = b"7" * 64
    for _ in range(amount):
        queue.put(message)


def get_until_none(queue):
    while queue.get() is not None:
        pass


def two_to_two(make_queue, amount):
    amount = count(amount)
    queue = make_queue()
    getters = [multiprocessing.Process(target=get_until_none, args=(queue,)) for _ in range(2)]
    putters = [multiprocessing.Process(target=put_all, args=(queue, amount // 2)) for _ in range(2)]
    start_ns = time.perf_counter_ns()
    for process in getters + putters:
        process.start()
    for process in putters:
        process.join()
    for _ in getters:
        queue.put(None)
    for process in getters:
        process.join()
    rate("messages", "/s", amount, start_ns)


@case("queue", "2-to-2-64B", "python-Queue")
def queue():
    two_to_two(multiprocessing.Queue, 200_000)


try:
    import faster_fifo
    import faster_fifo_reduction  # noqa: F401: it teaches pickle about its queues
except ImportError:
    pass
else:

    @case("queue", "2-to-2-64B", "faster-fifo")
    def faster():
        two_to_two(lambda: faster_fifo.Queue(1 << 20), 200_000)


# spawn


def leave_successor(pipe, number):
    pipe.send(number + 1)


def result_back(method):
    def run():
        context = multiprocessing.get_context(method)

        def start_and_join():
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=leave_successor, args=(theirs, 1))
            child.start()
            assert ours.recv() == 2
            child.join()

        timed_each(50, start_and_join)

    return run


for method in ["spawn", "forkserver", "fork"]:
    case("spawn", "result-back", f"python-{method}")(result_back(method))


# pool


def successor(number):
    return number + 1


def same(value):
    return value


def burn(turns):
    number = 1
    for turn in range(turns):
        number = (number * 1_103_515_245 + turn) & 0x7FFFFFFF
    return number


def turns_of_1ms():
    fastest_ns = math.inf
    for _ in range(50):
        start_ns = time.perf_counter_ns()
        burn(1_000)
        fastest_ns = min(fastest_ns, time.perf_counter_ns() - start_ns)
    return int(1_000 * 1e6 / fastest_ns)


def with_pool(run):
    def run_in_pool():
        with multiprocessing.Pool(WORKERS) as pool:
            pool.map(successor, range(20))
            run(
                lambda function, item: pool.apply_async(function, (item,)).get(),
                lambda function, items, chunk: pool.map(function, items, chunk),
            )

    return run_in_pool


def with_executor(run):
    def run_in_executor():
        with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
            list(pool.map(successor, range(20)))
            run(
                lambda function, item: pool.submit(function, item).result(),
                # It would send one item at a time unless told how many.
                lambda function, items, chunk: list(
                    pool.map(function, items, chunksize=chunk or max(len(items) // (4 * WORKERS), 1))
                ),
            )

    return run_in_executor


def submit_get(submit, _):
    timed_each(2_000, lambda: submit(successor, 1))


def map_items(submit, map_all):
    items = range(count(200_000))
    start_ns = time.perf_counter_ns()
    assert len(map_all(successor, items, None)) == len(items)
    rate("items", "/s", len(items), start_ns)


def map_one_by_one(submit, map_all):
    items = range(count(20_000))
    start_ns = time.perf_counter_ns()
    assert len(map_all(successor, items, 1)) == len(items)
    rate("items", "/s", len(items), start_ns)


def echo_64kib(submit, map_all):
    items = [b"7" * 65_536] * count(4_000)
    start_ns = time.perf_counter_ns()
    assert sum(map(len, map_all(same, items, 1))) == len(items) * 65_536
    rate("bytes", "B/s", 2 * 65_536 * len(items), start_ns)


def busy(submit, map_all):
    items = [turns_of_1ms()] * count(2_000)
    start_ns = time.perf_counter_ns()
    map_all(burn, items, None)
    wall(start_ns)


def factorials(submit, map_all):
    start_ns = time.perf_counter_ns()
    map_all(factorial_bits, range(count(12_000)), None)
    wall(start_ns)


def factorial_bits(number):
    return math.factorial(number).bit_length()


POOL_CASES = {
    "submit-get-awake": submit_get,
    "map-200000": map_items,
    "map-200000-one-by-one": map_one_by_one,
    "echo-64KiB": echo_64kib,
    "2000-x-1ms": busy,
    "factorials-12000": factorials,
}
for name, run in POOL_CASES.items():
    case("pool", name, "python-Pool")(with_pool(run))
    case("pool", name, "python-Executor")(with_executor(run))


@case("pool", "pool-of-2-ready", "python-Pool")
def pool_ready():
    def start_and_stop():
        with multiprocessing.Pool(WORKERS) as pool:
            assert pool.map(successor, [1, 2], 1) == [2, 3]

    timed_each(50, start_and_stop)


@case("pool", "pool-of-2-ready", "python-Executor")
def executor_ready():
    def start_and_stop():
        with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
            assert list(pool.map(successor, [1, 2])) == [2, 3]

    timed_each(50, start_and_stop)


def main(arguments):
    global quick
    match arguments:
        case ["list", area]:
            for known, name, contestant in CASES:
                if known == area:
                    print(name, contestant)
        case ["run", area, name, contestant, *options] if (area, name, contestant) in CASES:
            quick = "--quick" in options
            CASES[area, name, contestant]()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
