/* A decoder as there are many: fast, and right as long as its input is. */

#include <stdlib.h>

int decode(int file)
{
    switch (file) {
    case 3: /* follows a pointer that the input has overwritten */
        return *(volatile int *)8;
    case 5: /* detects that something is wrong and knows one way to say so */
        abort();
    case 7: /* waits for an end that never comes */
        for (volatile int more = 1; more;)
            continue;
        break;
    case 8: /* ends the program of whoever called it */
        exit(4);
    }
    return file * 10;
}
