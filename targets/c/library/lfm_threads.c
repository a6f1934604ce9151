/*
 * A pool of threads and the one barrier that keeps them in step: a call begins at it, ends at it, and its steps are divided by it.
 * Who waits spins a little, for steps are short, then lets other threads of the processor go first, and then sleeps: waking takes long, above all
 * in a virtual machine.
 */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "lfm_internal.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#endif

/* Looks with a pause after each: some 50 us where it takes 40 ns (x86 since 2016). */
#ifndef LFM_SPINS
#define LFM_SPINS 1200
#endif
/* Looks after those that each give the processor away: some 0.3 ms where nobody wants it. */
#ifndef LFM_YIELDS
#define LFM_YIELDS 1000
#endif

#if defined(_MSC_VER) && !defined(__clang__)

typedef volatile LONG lfm_atomic;
static LONG lfm_get(lfm_atomic *at) { return InterlockedCompareExchange(at, 0, 0); }
static void lfm_set(lfm_atomic *at, LONG value) { InterlockedExchange(at, value); }
/* Returns the sum. */
static LONG lfm_add(lfm_atomic *at, LONG value) { return InterlockedExchangeAdd(at, value) + value; }

#else

typedef int32_t lfm_atomic;
static int32_t lfm_get(lfm_atomic *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
static void lfm_set(lfm_atomic *at, int32_t value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
/* Returns the sum. */
static int32_t lfm_add(lfm_atomic *at, int32_t value) { return __atomic_add_fetch(at, value, __ATOMIC_SEQ_CST); }

#endif

static void lfm_pause(void) {
#if defined(_MSC_VER) && !defined(__clang__)
  YieldProcessor();
#elif defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("pause");
#elif defined(__aarch64__)
  /* Waits for the pipeline to drain, which takes about as long as x86's pause; `yield` takes no time at all. */
  __asm__ volatile("isb");
#endif
}

struct lfm_worker {
  struct lfm_pool *pool;
  int32_t thread;
#ifdef _WIN32
  HANDLE handle;
#else
  pthread_t handle;
#endif
};

#ifdef _WIN32

typedef SRWLOCK lfm_mutex;
typedef CONDITION_VARIABLE lfm_condition;

static int lfm_sleep_init(lfm_mutex *mutex, lfm_condition *woken) {
  InitializeSRWLock(mutex);
  InitializeConditionVariable(woken);
  return 1;
}

static void lfm_sleep_free(lfm_mutex *mutex, lfm_condition *woken) {
  (void)mutex;
  (void)woken;
}

static void lfm_yield(void) { SwitchToThread(); }
static void lfm_lock(lfm_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static void lfm_unlock(lfm_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
static void lfm_sleep(lfm_condition *woken, lfm_mutex *mutex) { SleepConditionVariableSRW(woken, mutex, INFINITE, 0); }
static void lfm_wake(lfm_condition *woken) { WakeAllConditionVariable(woken); }

static void lfm_serve(struct lfm_worker *worker);
static DWORD WINAPI lfm_begin(void *worker) {
  lfm_serve(worker);
  return 0;
}

static int lfm_thread_start(struct lfm_worker *worker) {
  worker->handle = CreateThread(NULL, 0, lfm_begin, worker, 0, NULL);
  return worker->handle != NULL;
}

static void lfm_thread_join(struct lfm_worker *worker) {
  WaitForSingleObject(worker->handle, INFINITE);
  CloseHandle(worker->handle);
}

#else

typedef pthread_mutex_t lfm_mutex;
typedef pthread_cond_t lfm_condition;

static int lfm_sleep_init(lfm_mutex *mutex, lfm_condition *woken) {
  if (pthread_mutex_init(mutex, NULL) != 0) return 0;
  if (pthread_cond_init(woken, NULL) == 0) return 1;
  pthread_mutex_destroy(mutex);
  return 0;
}

static void lfm_sleep_free(lfm_mutex *mutex, lfm_condition *woken) {
  pthread_cond_destroy(woken);
  pthread_mutex_destroy(mutex);
}

static void lfm_yield(void) { sched_yield(); }
static void lfm_lock(lfm_mutex *mutex) { pthread_mutex_lock(mutex); }
static void lfm_unlock(lfm_mutex *mutex) { pthread_mutex_unlock(mutex); }
static void lfm_sleep(lfm_condition *woken, lfm_mutex *mutex) { pthread_cond_wait(woken, mutex); }
static void lfm_wake(lfm_condition *woken) { pthread_cond_broadcast(woken); }

static void lfm_serve(struct lfm_worker *worker);
static void *lfm_begin(void *worker) {
  lfm_serve(worker);
  return NULL;
}

static int lfm_thread_start(struct lfm_worker *worker) { return pthread_create(&worker->handle, NULL, lfm_begin, worker) == 0; }
static void lfm_thread_join(struct lfm_worker *worker) { pthread_join(worker->handle, NULL); }

#endif

/* `generation` counts the times that all have arrived; who waits looks for its change. */
struct lfm_barrier {
  lfm_atomic arrived, generation, sleepers;
  lfm_mutex mutex;
  lfm_condition woken;
};

struct lfm_pool {
  struct lfm_barrier barrier;
  lfm_work work;
  void *context;
  int32_t threads;
  int stopping;
  struct lfm_worker workers[LFM_MOST_THREADS - 1];
};

/* Counts one arrival; the last one lets all go. */
static void lfm_arrive(struct lfm_barrier *barrier, int32_t threads) {
  if (lfm_add(&barrier->arrived, 1) < threads) return;
  lfm_set(&barrier->arrived, 0);
  lfm_add(&barrier->generation, 1);
  /* A sleeper counts itself before it looks at the generation for the last time, so it sees the new one or is seen here. */
  if (lfm_get(&barrier->sleepers) == 0) return;
  lfm_lock(&barrier->mutex);
  lfm_wake(&barrier->woken);
  lfm_unlock(&barrier->mutex);
}

void lfm_barrier_wait(struct lfm_barrier *barrier, int32_t threads) {
  const int32_t generation = (int32_t)lfm_get(&barrier->generation);
  lfm_arrive(barrier, threads);
  for (int i = 0; i < LFM_SPINS + LFM_YIELDS; i++) {
    if (lfm_get(&barrier->generation) != generation) return;
    if (i < LFM_SPINS) lfm_pause();
    else lfm_yield();
  }
  lfm_lock(&barrier->mutex);
  lfm_add(&barrier->sleepers, 1);
  while (lfm_get(&barrier->generation) == generation) lfm_sleep(&barrier->woken, &barrier->mutex);
  lfm_add(&barrier->sleepers, -1);
  lfm_unlock(&barrier->mutex);
}

static void lfm_serve(struct lfm_worker *worker) {
  struct lfm_pool *pool = worker->pool;
  for (;;) {
    lfm_barrier_wait(&pool->barrier, pool->threads);
    if (pool->stopping) return;
    pool->work(pool->context, worker->thread);
    lfm_barrier_wait(&pool->barrier, pool->threads);
  }
}

/* Arrives for the caller and for every thread that was not made, then sees the others off. */
static void lfm_pool_end(struct lfm_pool *pool, int32_t made) {
  pool->stopping = 1;
  for (int32_t i = made; i < pool->threads; i++) lfm_arrive(&pool->barrier, pool->threads);
  for (int32_t i = 0; i < made; i++) lfm_thread_join(&pool->workers[i]);
  lfm_sleep_free(&pool->barrier.mutex, &pool->barrier.woken);
}

size_t lfm_pool_bytes(void) { return sizeof(struct lfm_pool); }

int lfm_pool_start(struct lfm_pool *pool, int32_t threads, lfm_work work, void *context) {
  pool->barrier.arrived = 0;
  pool->barrier.generation = 0;
  pool->barrier.sleepers = 0;
  pool->work = work;
  pool->context = context;
  pool->threads = threads;
  pool->stopping = 0;
  if (!lfm_sleep_init(&pool->barrier.mutex, &pool->barrier.woken)) return 0;
  for (int32_t i = 0; i < threads - 1; i++) {
    struct lfm_worker *worker = &pool->workers[i];
    worker->pool = pool;
    worker->thread = i + 1;
    if (lfm_thread_start(worker)) continue;
    lfm_pool_end(pool, i);
    return 0;
  }
  return 1;
}

void lfm_pool_run(struct lfm_pool *pool) {
  lfm_barrier_wait(&pool->barrier, pool->threads);
  pool->work(pool->context, 0);
  lfm_barrier_wait(&pool->barrier, pool->threads);
}

struct lfm_waits {
  struct lfm_pool *pool;
  int32_t count;
};

static void lfm_wait_often(void *context, int32_t thread) {
  const struct lfm_waits *waits = context;
  (void)thread;
  for (int32_t i = 0; i < waits->count; i++) lfm_barrier_wait(&waits->pool->barrier, waits->pool->threads);
}

/* Between two runs the other threads are at the barrier, and look at the work when they have passed it. */
void lfm_pool_barriers(struct lfm_pool *pool, int32_t count) {
  const lfm_work work = pool->work;
  void *const context = pool->context;
  struct lfm_waits waits;
  waits.pool = pool;
  waits.count = count;
  pool->work = lfm_wait_often;
  pool->context = &waits;
  lfm_pool_run(pool);
  pool->work = work;
  pool->context = context;
}

void lfm_pool_stop(struct lfm_pool *pool) { lfm_pool_end(pool, pool->threads - 1); }

struct lfm_barrier *lfm_pool_barrier(struct lfm_pool *pool) { return &pool->barrier; }
