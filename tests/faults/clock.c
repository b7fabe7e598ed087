/* Preloaded (LD_PRELOAD), it puts the wall clock of a process as many seconds off as the file $CLOCK says, a long.
   Nothing here allocates: an allocator may ask for the time before it can give memory. */
struct timespec { long tv_sec, tv_nsec; };
struct timeval { long tv_sec, tv_usec; };
char *getenv(const char *);
int open(const char *, int, ...);
void *mmap(void *, unsigned long, int, int, int, long);
void *dlsym(void *, const char *);

static long off(void) {
    static volatile long *kept;
    if (!kept) {
        int file = open(getenv("CLOCK"), 0 /* O_RDONLY */);
        kept = mmap(0, 8, 1 /* PROT_READ */, 1 /* MAP_SHARED */, file, 0);
    }
    return *kept;
}

int clock_gettime(int clock, struct timespec *now) {
    static int (*real)(int, struct timespec *);
    if (!real) real = dlsym((void *)-1 /* RTLD_NEXT */, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == 0 /* CLOCK_REALTIME */ || clock == 5 /* CLOCK_REALTIME_COARSE */)) now->tv_sec += off();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec at;
    (void)zone;
    clock_gettime(0, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return 0;
}

long time(long *out) {
    struct timespec at;
    clock_gettime(0, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}
