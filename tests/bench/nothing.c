/* The ceiling: a libfcgi program that answers at once and does nothing. As CGI, it measures the cost of a
 * process alone. */
#include <fcgiapp.h>
#include <unistd.h>

static const char answer[] = "Status: 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                             "Content-Length: 62\r\n\r\n"
                             "{\"status\":\"stored\",\"event_id\":\"nothing-was-done\",\"seq\":1000000}\n";

int main(void) {
    FCGX_Request request;
    if (FCGX_IsCGI())
        return write(STDOUT_FILENO, answer, sizeof answer - 1) < 0;
    FCGX_InitRequest(&request, 0, 0);
    while (FCGX_Accept_r(&request) == 0) {
        FCGX_PutStr(answer, sizeof answer - 1, request.out);
        FCGX_Finish_r(&request);
    }
    return 0;
}
