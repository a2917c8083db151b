# SPDX-License-Identifier: Apache-2.0
"""A profile as the flame page reads it, like that of a small node: a few hundred processes, kernel, native, JIT and lost
samples. The same seed gives the same profile."""
import hashlib
import random

NATIVE, KERNEL, JIT, MARK, CLASS = range(5)
PERIOD = 10101010

LIBC, KERN = "/usr/lib/x86_64-linux-gnu/libc.so.6", "[kernel.kallsyms]"
PROGRAMS = {
    "postgres": ("/usr/lib/postgresql/15/bin/postgres", NATIVE,
                 "main PostmasterMain ServerLoop BackendStartup PostgresMain exec_simple_query PortalRun PortalRunSelect "
                 "standard_ExecutorRun ExecutePlan ExecProcNode ExecSeqScan ExecScan ExecAgg ExecHashJoin ExecInterpExpr "
                 "heap_getnextslot heapgettup_pagemode heap_page_prune_opt ReadBufferExtended LWLockAcquire hash_search_with_hash_value "
                 "slot_deform_heap_tuple tts_buffer_heap_getsomeattrs pg_qsort AllocSetAlloc ExecStoreBufferHeapTuple"),
    "node": ("/usr/bin/node", JIT,
             "Builtins_JSEntry onParserExecuteCommon parserOnIncoming handleRequest router.handle Layer.handle_request next "
             "json.stringify renderToString processBinding emit Socket.write Builtins_ArrayMap Builtins_RegExpPrototypeExec "
             "createElement diffProps resolve flushWork workLoop performUnitOfWork beginWork completeWork"),
    "java": ("/usr/lib/jvm/java-17/lib/server/libjvm.so", JIT,
             "Thread.run ThreadPoolExecutor$Worker.run ThreadPoolExecutor.runWorker DispatcherServlet.doService "
             "HttpServlet.service OrderController.list OrderService.find JdbcTemplate.query ResultSet.next HashMap.getNode "
             "String.hashCode ArrayList.grow Jackson.serialize UTF8Writer.write StringLatin1.inflate ConcurrentHashMap.get"),
    "telegraf": ("/usr/bin/telegraf", NATIVE,
                 "runtime.goexit runtime.mcall runtime.schedule runtime.findRunnable runtime.mallocgc runtime.gcBgMarkWorker "
                 "runtime.scanobject main.(*Agent).gatherLoop metric.(*metric).AddField net/http.(*conn).serve "
                 "encoding/json.(*decodeState).object compress/flate.(*compressor).deflate regexp.(*machine).step"),
    "cc1plus": ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus", NATIVE,
                "main toplev::main compile_file c_parse_file cp_parser_translation_unit cp_parser_declaration_seq_opt "
                "cp_parser_class_specifier instantiate_decl tsubst_expr lookup_name ggc_internal_alloc htab_find_slot_with_hash "
                "symbol_table::compile expand_all_functions execute_pass_list df_analyze lra ira_build "
                "std::vector<std::pair<unsigned_int,tree_node*>>::emplace_back<std::pair<unsigned_int,tree_node*>>"),
    "nginx": ("/usr/sbin/nginx", NATIVE,
              "main ngx_master_process_cycle ngx_worker_process_cycle ngx_process_events_and_timers ngx_epoll_process_events "
              "ngx_http_wait_request_handler ngx_http_process_request ngx_http_core_run_phases ngx_http_gzip_body_filter "
              "deflate_fast ngx_writev SSL_write tls13_enc aes_gcm_enc_update"),
    "redis-server": ("/usr/bin/redis-server", NATIVE,
                     "main aeMain aeProcessEvents readQueryFromClient processCommand call zaddCommand zslInsert dictFind siphash"),
}
SYSCALL = ("entry_SYSCALL_64_after_hwframe do_syscall_64 __x64_sys_read vfs_read ext4_file_read_iter generic_file_read_iter "
           "filemap_read copy_page_to_iter _copy_to_iter tcp_sendmsg tcp_write_xmit __tcp_transmit_skb ip_queue_xmit "
           "__dev_queue_xmit do_epoll_wait schedule __schedule finish_task_switch.isra.0 handle_mm_fault clear_page_erms").split()


class Tree:
    def __init__(self):
        self.names, self.frames, self.processes, self.nodes = {"": 0}, {}, [], []
        self.children = {}
        self.whose = {(0, 0, 0, 0, 0): 0}
        self.idle = set()  # nodes of reasons where who waits waits for work
        self.type, self.values, self.shown = "cpu", [["samples", "count"], ["cpu", "nanoseconds"]], 1

    def name(self, text):
        return self.names.setdefault(text, len(self.names))

    def owner(self, service="", namespace="", pod="", container="", uid=""):
        return self.whose.setdefault(tuple(self.name(n) for n in (service, namespace, pod, container, uid)), len(self.whose))

    def frame(self, name, kind, mapping):
        return self.frames.setdefault((self.name(name), kind, self.name(mapping)), len(self.frames))

    def node(self, parent, frame, process=-1):
        key = (parent, frame, process)
        if key not in self.children:
            self.children[key] = len(self.nodes)
            self.nodes.append([parent, frame, process, 0, 0, 0, 0])
        return self.children[key]

    def add(self, at, count, base=0):
        row = self.nodes[at]
        row[3] += count
        row[4] += count * PERIOD
        row[5] += base
        row[6] += base * PERIOD

    def by_name(self):
        """As a difference comes: processes of one name are one, with their numbers now and before."""
        t, at = Tree(), []
        t.names, t.frames = self.names, self.frames
        for parent, frame, row, *values in self.nodes:
            if row >= 0:
                name = self.processes[row][1]
                row = next((i for i, p in enumerate(t.processes) if p[1] == name), len(t.processes))
                if row == len(t.processes):
                    t.processes.append([0, name, 0, 0, 0, 0])
                t.processes[row][4] += 1
                t.processes[row][5] += 1
            n = t.node(at[parent] if parent >= 0 else -1, frame, row)
            if len(at) in self.idle:
                t.idle.add(n)
            at.append(n)
            t.nodes[n][3:] = [a + b for a, b in zip(t.nodes[n][3:], values)]
        k = len(self.values)
        return t.processes, [n[:3 + k] + n[5:5 + k] + [1] * (i in t.idle) for i, n in enumerate(t.nodes)]

    def total(self, value=None):
        return sum(n[3 + (self.shown if value is None else value)] for n in self.nodes)

    def data(self, base=False, banner=None, title=None):
        if base:
            processes, nodes = self.by_name()
        else:
            processes, nodes = self.processes, [n[:3 + len(self.values)] + [1] * (i in self.idle) for i, n in enumerate(self.nodes)]
        d = {"v": 1, "title": title or self.type + " on build-7", "banner": banner, "type": self.type,
             "unit": self.values[self.shown][1], "values": self.values, "shown": self.shown, "period": PERIOD,
             "time_ns": "1795428900000000000", "duration_ns": "60000000000",
             "names": list(self.names), "frames": [list(f) for f in self.frames], "whose": [list(w) for w in self.whose], "processes": processes, "nodes": nodes}
        if base:
            d["base"], d["base_duration_ns"] = True, "60000000000"
        return d


def owner(comm):
    """Service, namespace, pod and container of a program in a pod; of redis-server only the uid is known."""
    if comm == "redis-server":
        return "", "", "", "", "2d3cf0a5-1b2c-4d5e-8f90-123456789abc"
    return comm + "-service", "shop" if comm in ("java", "node", "nginx") else "platform", comm + "-6f7c9d-x2lq4", comm + "-box"


def process(t, r, comm, pid, samples):
    path, kind, functions = PROGRAMS[comm]
    functions = functions.split()
    container = hashlib.sha256(comm.encode()).hexdigest() if r.random() < .7 else ""
    t.processes.append([pid, t.name(comm), t.name(container), t.owner(*owner(comm)) if container else 0])
    top = t.node(-1, -1, len(t.processes) - 1)
    start = t.node(top, t.frame("_start", NATIVE, path))
    hot = r.randrange(1, len(functions))
    for _ in range(samples):
        at, depth = start, 0
        for f in functions[:3]:
            at = t.node(at, t.frame(f, NATIVE if kind == JIT and depth == 0 else kind, path))
        i = 3
        while i < len(functions) and depth < 40 and r.random() < .86:
            i += 1 if r.random() < .7 else r.randrange(1, 4)
            i = min(i, len(functions) - 1)
            at = t.node(at, t.frame(functions[i], kind, path if kind == NATIVE else "/tmp/perf-%d.map" % pid))
            depth += 1
            if r.random() < .25:
                break
        end = r.random()
        if end < .25:
            at = t.node(at, t.frame("malloc" if end < .1 else "__memmove_avx_unaligned_erms", NATIVE, LIBC))
        elif end < .55:
            at = t.node(at, t.frame("read" if end < .4 else "__send", NATIVE, LIBC))
            for f in SYSCALL[:2] + SYSCALL[r.randrange(2, 9):][:r.randrange(1, 9)]:
                at = t.node(at, t.frame(f, KERNEL, KERN))
        elif end < .56:
            at = t.node(at, t.frame("[truncated: no unwind info]", MARK, ""))
        now = 1 + (hot == i) * 2
        t.add(at, now, 1 if comm != "cc1plus" or r.random() < .3 else 0)
        if comm == "java" and r.random() < .3:
            t.add(at, 0, 2)


def sample(processes=60, samples=9000, seed=7, lost=True):
    r, t = random.Random(seed), Tree()
    weights = [1 / (i + 1) ** 1.1 for i in range(processes)]
    for i, w in enumerate(weights):
        process(t, r, list(PROGRAMS)[i % len(PROGRAMS)], 1200 + 37 * i, max(3, int(samples * w / sum(weights))))
    if lost:
        t.processes.append([0, 0, 0])  # what belongs to no process
        none = t.node(-1, -1, len(t.processes) - 1)
        t.add(t.node(none, t.frame("[lost: ring full]", MARK, "")), samples // 90, samples // 200)
        t.add(t.node(none, t.frame("[lost: store full]", MARK, "")), samples // 700)
    return t


# Where threads of a program are off the CPU: reason (or class of lock), functions below its own, seconds a minute of one
# thread, threads, events a minute of one thread.
WAITS = {
    "postgres": [("waiting", "PostgresMain ReadCommand secure_read WaitEventSetWait epoll_wait", 51, 24, 300),
                 ("io", "PostgresMain exec_simple_query PortalRun ExecSeqScan ReadBufferExtended mdread FileRead pread", 2.4, 24, 900),
                 ("mutex", "PostgresMain exec_simple_query LWLockAcquire PGSemaphoreLock __new_sem_wait_slow64", 1.1, 24, 700),
                 ("network", "PostgresMain ReadyForQuery pq_flush internal_flush __send", .9, 24, 400),
                 ("sleep", "AutoVacLauncherMain vacuum_delay_point pg_usleep clock_nanosleep", 55, 1, 60)],
    "java": [("mutex", "Thread.run ThreadPoolExecutor$Worker.run ThreadPoolExecutor.getTask LinkedBlockingQueue.take ConditionObject.await "
                       "LockSupport.park Unsafe_Park Parker::park pthread_cond_wait", 52, 40, 90),
             ("mutex", "Thread.run OrderService.find OrderCache.get ReentrantLock.lock AbstractQueuedSynchronizer.acquire LockSupport.park "
                       "Unsafe_Park Parker::park pthread_cond_wait", 3.2, 12, 800),
             ("mutex", "Thread.run OrderService.save ObjectMonitor::enter ObjectMonitor::EnterI pthread_cond_timedwait", 1.9, 12, 500),
             ("network", "Thread.run OrderService.find JdbcTemplate.query SocketInputStream.read recv", 6.1, 12, 900),
             ("sleep", "Thread.run Reporter.loop Thread.sleep", 58, 2, 60)],
    "nginx": [("waiting", "main ngx_worker_process_cycle ngx_process_events_and_timers ngx_epoll_process_events epoll_wait", 57, 4, 2000),
              ("io", "main ngx_worker_process_cycle ngx_http_core_run_phases ngx_output_chain sendfile", .8, 4, 800)],
    "telegraf": [("mutex", "runtime.mcall runtime.park_m runtime.schedule runtime.findRunnable runtime.stopm runtime.notesleep runtime.futex", 54, 9, 600),
                 ("network", "runtime.goexit net/http.(*Server).Serve internal/poll.(*FD).Accept syscall.accept4", 58, 1, 10),
                 ("cgroup_limit", "runtime.goexit main.(*Agent).gatherLoop encoding/json.(*decodeState).object", 2.2, 3, 200)],
    "redis-server": [("waiting", "main aeMain aeProcessEvents aeApiPoll epoll_wait", 54, 1, 3000),
                     ("channel", "main aeMain serverCron receiveChildInfo read", .6, 1, 60),
                     ("mutex", "bioProcessBackgroundJobs pthread_cond_wait", 59, 3, 1)],
    "bash": [("sync", "main execute_command wait_for waitchld wait4", 50, 3, 20), ("channel", "main reader_loop yyparse shell_getc read", 6, 3, 30)],
}
# Functions of those of them that only wait for work.
IDLE = {"epoll_wait", "ThreadPoolExecutor.getTask", "runtime.stopm", "syscall.accept4", "bioProcessBackgroundJobs", "wait4"}
LOCKS = {
    "postgres": [("mutex", "PostgresMain exec_simple_query LWLockAcquire futex_wait", 1.1, 24, 700)],
    "java": [("java lock", "Thread.run OrderService.find OrderCache.get ReentrantLock.lock LockSupport.park", 3.2, 12, 800),
             ("monitor", "Thread.run OrderService.save ObjectMonitor::enter ObjectMonitor::EnterI", 1.9, 12, 500),
             ("mutex", "G1ConcRefineThread Monitor::lock pthread_mutex_lock __lll_lock_wait", .4, 4, 100)],
    "telegraf": [("go runtime", "runtime.mallocgc runtime.lock2 runtime.futexsleep", .3, 9, 2000)],
    "nginx": [("rwlock", "main ngx_worker_process_cycle ngx_http_upstream_get pthread_rwlock_rdlock", .7, 4, 300),
              ("futex", "main ngx_worker_process_cycle syscall", .2, 4, 30)],
}
UNITS = {"offcpu": [["contentions", "count"], ["off_cpu", "nanoseconds"]], "wall": [["wall", "nanoseconds"]],
         "mutex": [["contentions", "count"], ["delay", "nanoseconds"]], "memory": [["faults", "count"], ["resident", "bytes"]],
         "allocs": [["alloc_objects", "count"], ["alloc_space", "bytes"]], "heap": [["inuse_objects", "count"], ["inuse_space", "bytes"]]}
BARE = [("short blocks", 4.4, 90000), ("blocks not sampled", 1.3, 700)]


def off(type="offcpu", seed=5):
    """Time off the CPU, of all threads, or of those that wait for locks."""
    r, t = random.Random(seed), Tree()
    t.type, t.values = type, UNITS[type]
    t.shown = len(t.values) - 1

    def add(at, count, seconds):
        ns = int(seconds / 36 * 1e9 * (.9 + .2 * r.random()))
        for value, more in enumerate([count, ns][-len(t.values):]):
            t.nodes[at][3 + value] += more
            t.nodes[at][5 + value] += more * r.choice((1, 1, 2)) // 2 if r.random() < .9 else 0
    for comm, waits in (LOCKS if type == "mutex" else WAITS).items():
        path = PROGRAMS.get(comm, ("/usr/bin/" + comm,))[0]
        container = hashlib.sha256(comm.encode()).hexdigest() if comm != "bash" else ""
        for one in range(3 if comm in ("postgres", "bash") else 1):
            t.processes.append([1200 + 10 * list(WAITS).index(comm) + one, t.name(comm), t.name(container), t.owner(*owner(comm)) if container else 0])
            top = t.node(-1, -1, len(t.processes) - 1)
            start = t.node(top, t.frame("_start" if comm in ("nginx", "bash", "redis-server", "postgres") else "clone3", NATIVE, LIBC))
            for why, functions, seconds, threads, events in waits:
                at = start
                for f in functions.split():
                    kind = JIT if comm == "java" and "." in f else NATIVE
                    at = t.node(at, t.frame(f, kind, "/tmp/perf-9.map" if kind == JIT else path))
                if type != "mutex" and IDLE & set(functions.split()):
                    t.idle.add(t.node(at, t.frame("[%s]" % why, CLASS, "")))
                add(t.node(at, t.frame("[%s]" % why, CLASS, "")), events * threads, seconds * threads / (3 if comm == "postgres" else 1))
                if type != "mutex":
                    add(t.node(at, t.frame("[scheduler]", CLASS, "")), 0, seconds * threads * .004)
            if type == "wall":
                for f in (PROGRAMS[comm][2].split()[:6] if comm in PROGRAMS else ["main", "execute_command"]):
                    start = t.node(start, t.frame(f, NATIVE, path))
                    add(start, 0, r.random() * 2)
            if type != "mutex":
                for why, seconds, events in BARE:
                    add(t.node(top, t.frame("[%s]" % why, CLASS, "")), events, seconds)
    t.processes.append([0, 0, 0])
    none = t.node(-1, -1, len(t.processes) - 1)
    if type != "mutex":
        add(t.node(none, t.frame("[blocks whose stack was lost]", MARK, "")), 17, 2)
    add(t.node(none, t.frame("[lost: store full]", MARK, "")), 3, .2)
    return t


def memory(type="memory", seed=5):
    """Bytes, by the stacks of CPU time."""
    t = sample(20, 2000, seed, lost=False)
    t.type, t.values = type, UNITS[type]
    for n in t.nodes:
        n[3:] = [n[3], n[3] * (1 << 17), n[5], n[5] * (1 << 17)]
    return t


def of_type(type, seed):
    return sample(20, 2000, seed) if type == "cpu" else off(type, seed) if type in ("offcpu", "wall", "mutex") else memory(type, seed)


def storm(processes=3000):
    """Many processes of one name, a few samples each, two containers with a name in common, and one large process."""
    t = Tree()
    main, leaves = t.frame("main", NATIVE, "/usr/bin/true"), [t.frame("f%d" % i, NATIVE, "/usr/bin/true") for i in range(5)]

    def add(pid, comm, container, count):
        t.processes.append([pid, t.name(comm), t.name(container)])
        top = t.node(t.node(-1, -1, len(t.processes) - 1), main)
        t.add(t.node(top, leaves[pid % 5]), count)
    for pid in range(1, processes + 1):
        add(pid, "true", "", 1 + (pid == 77))
    add(9001, "web", hashlib.sha256(b"a").hexdigest(), 400)
    add(9002, "web", hashlib.sha256(b"b").hexdigest(), 300)
    add(9003, "web", hashlib.sha256(b"b").hexdigest(), 200)
    add(9004, "burn", "", 900)
    return t


def large(nodes=200000):
    """A tree of that many nodes, deep and wide, for the page's speed."""
    r, t = random.Random(3), Tree()
    t.processes = [[i + 1, t.name("worker-%d" % (i % 40)), 0, 0] for i in range(300)]
    tops = [t.node(-1, -1, i) for i in range(300)]
    frames = [t.frame("function_%d(std::string const&, int)" % i, i % 3, "/usr/lib/lib%d.so" % (i % 50)) for i in range(8000)]
    at = r.choice(tops)
    while len(t.nodes) < nodes:
        if t_depth(t, at) > 60 or r.random() < .08:
            at = r.choice(tops) if r.random() < .6 else r.randrange(len(t.nodes))
        at = t.node(at, frames[min(len(frames) - 1, int(r.expovariate(1 / 900)))])
        t.add(at, 1)
    return t


def t_depth(t, at):
    depth = 0
    while at >= 0:
        at, depth = t.nodes[at][0], depth + 1
    return depth
