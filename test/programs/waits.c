// SPDX-License-Identifier: Apache-2.0
// Every way to wait, each a thread with functions of its own: waits SECONDS DIRECTORY [NAME...].
// For what is printed see truth.h. Files for the disk's thread are made in DIRECTORY.
#define _GNU_SOURCE
#include "truth.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MS 1000000ull
#define KEEP() __asm__ volatile("") // no call at the end becomes a jump

static uint64_t until;
static const char *directory;

static int going(void)
{
	return clock_ns(CLOCK_MONOTONIC) < until;
}

// No two waits are equally long, so that nothing keeps step with them.
static uint64_t about(uint64_t ns)
{
	static __thread uint64_t x = 88172645463325252ull;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return ns / 2 + x % ns;
}

#define WAIT(name, ...)                                                                            \
	NOINLINE void name(__VA_ARGS__);                                                           \
	NOINLINE void name(__VA_ARGS__)

WAIT(sleep70, void)
{
	sleep_ns(about(70 * MS));
	KEEP();
}
WAIT(sleep20, void)
{
	sleep_ns(about(20 * MS));
	KEEP();
}
WAIT(sleep10, void)
{
	sleep_ns(about(10 * MS));
	KEEP();
}
static void sleeper(void)
{
	while (going()) {
		MEASURE(sleep70);
		MEASURE(sleep20);
		MEASURE(sleep10);
	}
}

// Who waits for another is woken by a helper's child or timer that is no subject.
static pid_t feeder(int fd, uint64_t ns)
{
	pid_t child = fork();
	if (child)
		return child;
	prctl(PR_SET_NAME, "feeder");
	while (going()) {
		uint64_t one = 1;
		sleep_ns(about(ns));
		if (write(fd, &one, sizeof(one)) != sizeof(one))
			break;
	}
	_exit(0);
}

WAIT(pipe_reads, int fd)
{
	uint64_t word;
	if (read(fd, &word, sizeof(word)) < 0)
		abort();
}
static void piper(void)
{
	int fds[2];
	if (pipe(fds))
		abort();
	pid_t child = feeder(fds[1], 30 * MS);
	close(fds[1]);
	while (going())
		MEASURE(pipe_reads, fds[0]);
	waitpid(child, NULL, 0);
}

WAIT(socket_reads, int fd)
{
	uint64_t word;
	if (read(fd, &word, sizeof(word)) < 0)
		abort();
}
static void socketer(void)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		abort();
	pid_t child = feeder(fds[1], 30 * MS);
	while (going())
		MEASURE(socket_reads, fds[0]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

WAIT(event_reads, int fd)
{
	uint64_t word;
	if (read(fd, &word, sizeof(word)) < 0)
		abort();
}
static void eventer(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	pid_t child = feeder(fd, 30 * MS);
	while (going())
		MEASURE(event_reads, fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

#define BLOCK (1u << 20)
WAIT(disk_reads, int fd, void *at, off_t from)
{
	if (pread(fd, at, BLOCK, from) != BLOCK)
		abort();
}
WAIT(disk_writes, int fd, void *at, off_t from)
{
	if (pwrite(fd, at, BLOCK, from) != BLOCK || fsync(fd))
		abort();
}
static void disk(void)
{
	char path[4096];
	void *at;
	snprintf(path, sizeof(path), "%s/disk-%d", directory, getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_memalign(&at, 4096, BLOCK))
		abort();
	memset(at, 1, BLOCK);
	unlink(path);
	for (off_t i = 0; going(); i = (i + 1) % 8) {
		MEASURE(disk_writes, fd, at, i * BLOCK);
		MEASURE(disk_reads, fd, at, i * BLOCK);
	}
}

static volatile char touched;
WAIT(file_faults, char *at)
{
	touched += *at;
	KEEP();
}
static void faulter(void)
{
	char path[4096];
	void *block = malloc(BLOCK);
	snprintf(path, sizeof(path), "%s/faults-%d", directory, getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(block, 1, BLOCK);
	for (int i = 0; i < 16; i++)
		if (write(fd, block, BLOCK) != BLOCK)
			abort();
	fsync(fd);
	unlink(path);
	while (going()) {
		char *at = mmap(NULL, 16 * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
		for (size_t i = 0; i < 16 && going(); i++)
			MEASURE(file_faults, at + i * BLOCK);
		munmap(at, 16 * BLOCK);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
}

// vfork's parent sleeps like one that waits for a disk.
WAIT(vfork_waits, void)
{
	pid_t child = vfork();
	if (!child) {
		struct timespec t = {0, 40 * MS};
		syscall(SYS_nanosleep, &t, NULL);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}
static void vforker(void)
{
	while (going())
		MEASURE(vfork_waits);
}

WAIT(child_waits, pid_t child)
{
	waitpid(child, NULL, 0);
	KEEP();
}
static void parent(void)
{
	while (going()) {
		pid_t child = fork();
		if (!child) {
			sleep_ns(about(40 * MS));
			_exit(0);
		}
		MEASURE(child_waits, child);
	}
}

WAIT(stops, void)
{
	kill(getpid(), SIGSTOP);
	KEEP();
}
static void stopper(void) // a child, that its parent brings on
{
	pid_t child = fork();
	if (child) {
		while (going() && !waitpid(child, NULL, WNOHANG)) {
			sleep_ns(about(40 * MS));
			kill(child, SIGCONT);
		}
		while (waitpid(child, NULL, WNOHANG) == 0) {
			sleep_ns(10 * MS);
			kill(child, SIGCONT);
		}
		return;
	}
	truth_begin("stopped");
	while (going())
		MEASURE(stops);
	truth_end();
	_exit(0);
}

WAIT(epoll_waits, int fd)
{
	struct epoll_event event;
	epoll_wait(fd, &event, 1, (int)(about(100 * MS) / MS));
	KEEP();
}
static void poller(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	while (going())
		MEASURE(epoll_waits, fd);
}

WAIT(signal_waits, void)
{
	sigset_t set;
	struct timespec t = {0, (long)about(50 * MS)};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigtimedwait(&set, NULL, &t);
	KEEP();
}
static void signals(void)
{
	while (going())
		MEASURE(signal_waits);
}

WAIT(record_locks, int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	fcntl(fd, F_SETLKW, &lock);
	lock.l_type = F_UNLCK;
	fcntl(fd, F_SETLK, &lock);
}
static void locker(void)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/lock-%d", directory, getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pid_t child = fork();
	if (!child) {
		while (going()) {
			struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
			fcntl(fd, F_SETLKW, &lock);
			sleep_ns(about(40 * MS));
			lock.l_type = F_UNLCK;
			fcntl(fd, F_SETLK, &lock);
			sleep_ns(3 * MS);
		}
		_exit(0);
	}
	while (going()) {
		MEASURE(record_locks, fd);
		sleep_ns(2 * MS);
	}
	waitpid(child, NULL, 0);
	unlink(path);
}

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_cond = PTHREAD_COND_INITIALIZER;
static int pool_jobs, pool_over;
WAIT(pool_idles, void)
{
	pthread_mutex_lock(&pool_mutex);
	while (!pool_jobs && !pool_over)
		pthread_cond_wait(&pool_cond, &pool_mutex);
	pool_jobs -= pool_jobs > 0;
	pthread_mutex_unlock(&pool_mutex);
}
static void *pool_worker(void *arg)
{
	truth_begin("worker");
	while (!pool_over)
		MEASURE(pool_idles);
	truth_end();
	return arg;
}
WAIT(pool_joins, pthread_t *t)
{
	pthread_join(*t, NULL);
	KEEP();
}
static void pool(void)
{
	pthread_t workers[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&workers[i], NULL, pool_worker, NULL);
	while (going()) {
		sleep_ns(about(25 * MS));
		pthread_mutex_lock(&pool_mutex);
		pool_jobs++;
		pthread_cond_signal(&pool_cond);
		pthread_mutex_unlock(&pool_mutex);
	}
	pthread_mutex_lock(&pool_mutex);
	pool_over = 1;
	pthread_cond_broadcast(&pool_cond);
	pthread_mutex_unlock(&pool_mutex);
	for (int i = 0; i < 4; i++)
		MEASURE(pool_joins, &workers[i]);
}

static sem_t sem;
WAIT(sem_waits, void)
{
	sem_wait(&sem);
	KEEP();
}
static void *posts(void *arg)
{
	prctl(PR_SET_NAME, "posts");
	while (going()) {
		sleep_ns(about(30 * MS));
		sem_post(&sem);
	}
	sem_post(&sem);
	return arg;
}
static void semaphore(void)
{
	pthread_t t;
	sem_init(&sem, 0, 0);
	pthread_create(&t, NULL, posts, NULL);
	while (going())
		MEASURE(sem_waits);
	pthread_join(t, NULL);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
WAIT(rwlock_reads, void)
{
	pthread_rwlock_rdlock(&rwlock);
	pthread_rwlock_unlock(&rwlock);
}
static void *writes(void *arg)
{
	prctl(PR_SET_NAME, "writes");
	while (going()) {
		pthread_rwlock_wrlock(&rwlock);
		sleep_ns(about(30 * MS));
		pthread_rwlock_unlock(&rwlock);
		sleep_ns(3 * MS);
	}
	return arg;
}
static void rwlocker(void)
{
	pthread_t t;
	pthread_create(&t, NULL, writes, NULL);
	while (going()) {
		MEASURE(rwlock_reads);
		sleep_ns(2 * MS);
	}
	pthread_join(t, NULL);
}

static const struct subject {
	const char *name;
	void (*run)(void);
} subjects[] = {
    {"sleeper", sleeper},
    {"piper", piper},
    {"socketer", socketer},
    {"eventer", eventer},
    {"disk", disk},
    {"faulter", faulter},
    {"vforker", vforker},
    {"parent", parent},
    {"stopper", stopper},
    {"poller", poller},
    {"signals", signals},
    {"locker", locker},
    {"pool", pool},
    {"semaphore", semaphore},
    {"rwlocker", rwlocker},
};
#define SUBJECTS (sizeof(subjects) / sizeof(*subjects))

static void *run(void *arg)
{
	const struct subject *s = arg;
	truth_begin(s->name);
	s->run();
	truth_end();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[SUBJECTS];
	int began[SUBJECTS] = {0};
	if (argc < 3)
		return 2;
	until = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(atof(argv[1]) * 1e9);
	directory = argv[2];
	for (size_t i = 0; i < SUBJECTS; i++) {
		int wanted = argc == 3;
		for (int a = 3; a < argc; a++)
			wanted |= !strcmp(argv[a], subjects[i].name);
		began[i] = wanted && !pthread_create(&threads[i], NULL, run, (void *)&subjects[i]);
	}
	for (size_t i = 0; i < SUBJECTS; i++)
		if (began[i])
			pthread_join(threads[i], NULL);
	return 0;
}
