# SPDX-License-Identifier: MIT
# The demo's table and what it says. Input: a line of object_cache for each column: queue, lock, perhaps
# queue with workers above the loop's priority. Variable: titles of the columns, separated by |.

# 1234567.8 as 1,234,568; below 100 with one digit behind the point
function number(x,    digits, out) {
    if (x < 100 && x != int(x)) return sprintf("%.1f", x)
    digits = sprintf("%.0f", x)
    out = ""
    while (length(digits) > 3) {
        out = "," substr(digits, length(digits) - 2) out
        digits = substr(digits, 1, length(digits) - 3)
    }
    return digits out
}
function time(us) {
    if (us >= 1e6) return sprintf("%.1f s", us / 1e6)
    if (us >= 1e3) return sprintf("%.1f ms", us / 1e3)
    return sprintf(us < 10 ? "%.1f us" : "%.0f us", us)
}
# How b, a duration, compares with a.
function slower_or_faster(a, b) {
    if (a <= 0 || b <= 0) return "no comparison"
    if (b >= 2 * a) return number(int(b / a)) " times as long"
    if (a >= 2 * b) return "1/" number(int(a / b)) " of it"
    if (b > 1.1 * a || a > 1.1 * b) return sprintf("%.0f %% of it", 100 * b / a)
    return "about the same"
}
# How b, a count, compares with a.
function more_or_fewer(a, b,    difference) {
    difference = a > 0 ? 100 * (b - a) / a : 0
    if (difference > -3 && difference < 3) return "about as many"
    return sprintf("%.0f %% %s", difference < 0 ? -difference : difference, difference < 0 ? "fewer" : "more")
}

function add_row(name) {
    name_of[++rows] = name
}
function set(column, text) {
    cell[rows, column] = text
    if (length(text) > width[column]) width[column] = length(text)
}
function add_figure(name, key,    c) {
    add_row(name)
    for (c = 1; c <= columns; ++c) set(c, number(of[c, key]))
}
function add_drains(name, whose,    c) {
    add_row(name)
    for (c = 1; c <= columns; ++c)
        set(c, of[c, whose "_drains"] == 0 ? "none" : number(of[c, whose "_drain_p50_us"]) " / " \
            number(of[c, whose "_drain_p99_us"]) " / " number(of[c, whose "_drain_max_us"]))
}
function drains_took(c) {
    return time(of[c, "loop_drain_mean_us"]) " (at most " time(of[c, "loop_drain_max_us"]) ")"
}

{
    ++columns
    for (i = 2; i <= NF; ++i) {
        split($i, pair, "=")
        of[columns, pair[1]] = pair[2]
    }
}

END {
    split(titles, title, "|")
    add_row("")
    for (c = 1; c <= columns; ++c) set(c, title[c])
    add_figure("local operations/s", "local_ops_per_s")
    add_figure("drains/s", "drains_per_s")
    add_drains("drain of the loop's cpu, p50 / p99 / max us", "loop")
    add_drains("drain of other cpus, p50 / p99 / max us", "other")
    add_row("loop's context switches, forced + waiting")
    for (c = 1; c <= columns; ++c)
        set(c, number(of[c, "loop_involuntary"]) " + " number(of[c, "loop_voluntary"]))
    add_figure("loop's gaps over 20 us", "loop_gaps_20us")
    add_figure("loop's gaps over 100 us", "loop_gaps_100us")
    add_row("objects allocated = freed + cached")
    for (c = 1; c <= columns; ++c)
        set(c, number(of[c, "allocated"]) " = " number(of[c, "freed"]) " + " number(of[c, "cached"]))
    for (r = 1; r <= rows; ++r) {
        printf "%-43s", name_of[r]
        for (c = 1; c <= columns; ++c) printf "  %*s", width[c], cell[r, c]
        printf "\n"
    }

    because = of[1, "loop_ordinary_because"]
    gsub(/_/, " ", because)
    if (because == "-") printf "\nThe loop was real-time: SCHED_FIFO %s.\n", substr(of[1, "loop_class"], 6)
    else printf "\nThe loop was not real-time but an ordinary thread: %s.\n", because
    printf "An average drain of the loop's cpu took %s under queue, %s under lock: %s.\n",
        drains_took(1), drains_took(2),
        slower_or_faster(of[1, "loop_drain_mean_us"], of[2, "loop_drain_mean_us"])
    printf "The loop was forced off its cpu %s times under queue, %s under lock.", \
        number(of[1, "loop_involuntary"]), number(of[2, "loop_involuntary"])
    printf " Lock did %s local operations.\n",
        more_or_fewer(of[1, "local_ops_per_s"], of[2, "local_ops_per_s"])
    if (columns > 2)
        printf "With queue's workers above the loop's priority it took %s, and the loop was forced off %s times.\n",
            drains_took(3), number(of[3, "loop_involuntary"])
}
