/* A V4L2 camera for one process (LD_PRELOAD): /dev/video77 is the file HEMOWIRE_TEST_VIDEO/device.
 *
 * It gives YUYV at 640x480 or 320x240 and at 20 frames a second, whose grey level is 16 + (tick % 200),
 * tick = monotonic time x 20. As a driver does, it fills the buffers that it was given and then drops
 * frames: what waits in them is old. Files in the folder make it misbehave:
 *   hang      a read blocks until the file goes      stubborn  exposure and white balance stay automatic
 * Without the file `device` it is unplugged (ENODEV). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 16
#define SLOT (640 * 480 * 2)

static int device_fd = -1;
static unsigned width = 640, height = 480, buffers;
static long last_tick;
static int empty[MOST], empties, full[MOST], fulls;
static long tick_of[MOST];
static int exposure_auto = 3, exposure = 157, white_auto = 1, white = 4600, gain = 16;

static const char *in_folder(const char *name, char *out)
{
    snprintf(out, 4096, "%s/%s", getenv("HEMOWIRE_TEST_VIDEO"), name);
    return out;
}

static int has(const char *name)
{
    char path[4096];
    return access(in_folder(name, path), F_OK) == 0;
}

static int is_device(const char *path)
{
    return path != NULL && strcmp(path, "/dev/video77") == 0;
}

static long ticks(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 20 + now.tv_nsec / 50000000;
}

static int open_device(void)
{
    char path[4096];
    exposure_auto = 3; /* a camera that was without power has forgotten */
    exposure = 157;
    white_auto = 1;
    white = 4600;
    device_fd = syscall(SYS_openat, AT_FDCWD, in_folder("device", path), O_RDWR | O_CLOEXEC);
    return device_fd;
}

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...)                              \
    {                                                                       \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, int) : 0; \
        va_end(more);                                                       \
        if (is_device(path))                                                \
            return open_device();                                           \
        return syscall(SYS_openat, AT_FDCWD, path, flags, mode);            \
    }
OPEN(open)
OPEN(open64)

int stat64(const char *restrict path, struct stat64 *restrict out)
{
    char own[4096];
    int (*real)(const char *, struct stat64 *) = dlsym(RTLD_NEXT, "stat64");
    return real(is_device(path) ? in_folder("device", own) : path, out);
}

int stat(const char *restrict path, struct stat *restrict out)
{
    char own[4096];
    int (*real)(const char *, struct stat *) = dlsym(RTLD_NEXT, "stat");
    return real(is_device(path) ? in_folder("device", own) : path, out);
}

/* What the driver did since it was last looked at. */
static void run_until(long now)
{
    unsigned char line[SLOT];
    for (; last_tick < now; last_tick++) {
        if (empties == 0) {
            last_tick = now; /* no buffer: frames are dropped */
            return;
        }
        int index = empty[0];
        memmove(empty, empty + 1, --empties * sizeof *empty);
        for (unsigned at = 0; at < width * height * 2; at += 2) {
            line[at] = 16 + (last_tick + 1) % 200;
            line[at + 1] = 128;
        }
        if (pwrite(device_fd, line, width * height * 2, (off_t)index * SLOT) < 0)
            return;
        tick_of[index] = last_tick + 1;
        full[fulls++] = index;
    }
}

static int dequeue(struct v4l2_buffer *buffer)
{
    for (;;) {
        if (!has("device")) {
            errno = ENODEV;
            return -1;
        }
        run_until(ticks());
        if (fulls > 0 && !has("hang"))
            break;
        usleep(2000);
    }
    int index = full[0];
    memmove(full, full + 1, --fulls * sizeof *full);
    buffer->index = index;
    buffer->bytesused = width * height * 2;
    buffer->length = SLOT;
    buffer->flags = V4L2_BUF_FLAG_DONE | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = tick_of[index] / 20;
    buffer->timestamp.tv_usec = tick_of[index] % 20 * 50000;
    return 0;
}

static int *control(unsigned id)
{
    switch (id) {
    case V4L2_CID_EXPOSURE_AUTO: return &exposure_auto;
    case V4L2_CID_EXPOSURE_ABSOLUTE: return &exposure;
    case V4L2_CID_AUTO_WHITE_BALANCE: return &white_auto;
    case V4L2_CID_WHITE_BALANCE_TEMPERATURE: return &white;
    case V4L2_CID_GAIN: return &gain;
    default: return NULL;
    }
}

/* For tests: what the camera is set to. */
int video_device_control(unsigned id)
{
    return *control(id);
}

static int answer(unsigned long request, void *argument)
{
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *capability = argument;
        memset(capability, 0, sizeof *capability);
        strcpy((char *)capability->card, "test camera");
        capability->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        capability->device_caps = capability->capabilities;
        return 0;
    }
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
    case VIDIOC_G_FMT: {
        struct v4l2_format *format = argument;
        if (request == VIDIOC_S_FMT) {
            int is_small = format->fmt.pix.width <= 320;
            width = is_small ? 320 : 640;
            height = is_small ? 240 : 480;
        }
        format->fmt.pix.width = width;
        format->fmt.pix.height = height;
        format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
        format->fmt.pix.field = V4L2_FIELD_NONE;
        format->fmt.pix.bytesperline = width * 2;
        format->fmt.pix.sizeimage = width * height * 2;
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *parameters = argument;
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe.numerator = 1;
        parameters->parm.capture.timeperframe.denominator = 20;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *asked = argument;
        buffers = asked->count = asked->count > MOST ? MOST : asked->count;
        empties = fulls = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = argument;
        buffer->length = SLOT;
        buffer->m.offset = buffer->index * SLOT;
        return 0;
    }
    case VIDIOC_QBUF:
        run_until(ticks());
        empty[empties++] = ((struct v4l2_buffer *)argument)->index;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(argument);
    case VIDIOC_STREAMON:
        last_tick = ticks();
        return 0;
    case VIDIOC_STREAMOFF:
        empties = fulls = 0;
        return 0;
    case VIDIOC_QUERYCTRL: {
        struct v4l2_queryctrl *query = argument;
        if (control(query->id) == NULL)
            break;
        query->type = V4L2_CTRL_TYPE_INTEGER;
        query->flags = 0;
        query->minimum = 0;
        query->maximum = 10000;
        return 0;
    }
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL: {
        struct v4l2_control *one = argument;
        int *value = control(one->id);
        if (value == NULL)
            break;
        if (request == VIDIOC_S_CTRL && !has("stubborn"))
            *value = one->value;
        if (exposure_auto == 3 && request == VIDIOC_G_CTRL)
            exposure = 100 + ticks() % 50; /* the automatics never rest */
        one->value = *value;
        return 0;
    }
    }
    errno = EINVAL;
    return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (device_fd < 0 || fd != device_fd)
        return syscall(SYS_ioctl, fd, request, argument);
    if (!has("device")) {
        errno = ENODEV;
        return -1;
    }
    return answer(request & 0xffffffff, argument);
}

int close(int fd)
{
    if (fd == device_fd)
        device_fd = -1;
    return syscall(SYS_close, fd);
}
