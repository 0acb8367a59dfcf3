/*
 * farebox-alarm: delivers alarms. The bank starts it, as the store's owner, says alarms on its standard input (a line of JSON each, bank/alarms.h) and reads on its standard
 * output the `id` of each that is done with. For every alarm alarm_command is run and alarm_webhook is POSTed to, each in a child of its own with a time limit; what fails is
 * tried again with growing pauses, alarm_tries times in all, and then logged as lost. The settings are read again when alarms come. At the end of its input it goes on with what
 * it has, but tries nothing again, and leaves.
 *
 * One at a time for a home: RUN/alarms is its lock, and the list of ids that were delivered lately: an alarm that a new bank says again is not delivered again.
 */
#ifndef FARE_FCGI_ALARM_H
#define FARE_FCGI_ALARM_H

#include "base/span.h"
#include "conf/conf.h"

enum fare_alarm_to { FARE_ALARM_COMMAND, FARE_ALARM_WEBHOOK, FARE_ALARM_TO_N };

/*
 * In the child: one try, then its end; status 0: delivered. line is without its newline.
 * Command: the program as it is named, without arguments or shell, with nothing but PATH, HOME (the folder /) and FAREBOX_HOME; what it says goes nowhere.
 * Webhook: confined like a worker, for its answer is a stranger's; as root, it runs as a worker's user.
 */
FARE_NORETURN void fare_alarm_run(const struct fare_conf *c, struct fare_span line);
FARE_NORETURN void fare_alarm_post(const struct fare_conf *c, struct fare_span line);

#endif
