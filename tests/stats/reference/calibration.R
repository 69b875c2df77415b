# Reference values of R for the statistics of probabilities in dgccl.stats: base R alone.
#
# Usage: Rscript calibration.R calibration_cases.csv OUT.csv
# Writes one line a value: quantity,value. The test reads the stored file, and runs this script again where
# Rscript is installed (Debian: r-base-core). What base R has (glm, splines::ns, isoreg) is used; the rest
# is written out from the published formulas.

suppressPackageStartupMessages(library(splines))
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
values <- list()
keep <- function(name, value) values[[name]] <<- as.numeric(value)
tight <- glm.control(epsilon = 1e-15, maxit = 100)
y <- cases$y_true
n <- length(y)
z <- qnorm(0.975)
t <- qt(0.975, n - 1)

for (model in c("sure", "blurred")) {
  p <- cases[[model]]
  x <- qlogis(p)
  name <- function(quantity) paste(quantity, model, sep = ".")
  interval <- function(quantity, ends) {
    keep(name(paste0(quantity, "_low")), ends[1])
    keep(name(paste0(quantity, "_high")), ends[2])
  }

  # Scores: the interval of a mean, on the scale of each.
  e <- (p - y)^2
  keep(name("brier"), mean(e))
  error <- sd(e) / sqrt(n)
  interval("brier_normal", mean(e) + c(-z, z) * error)
  interval("brier_logit", plogis(qlogis(mean(e)) + c(-t, t) * error / (mean(e) * (1 - mean(e)))))
  loss <- -ifelse(y == 1, log(p), log1p(-p))
  keep(name("log_loss"), mean(loss))
  interval("log_loss", exp(log(mean(loss)) + c(-t, t) * sd(loss) / sqrt(n) / mean(loss)))
  # Skill: the delta method on the means of the error and of the label.
  share <- mean(y)
  reference <- share * (1 - share)
  ratio <- mean(e) / reference
  gradient <- c(1 / reference, -mean(e) * (1 - 2 * share) / reference^2)
  error <- sqrt(drop(gradient %*% cov(cbind(e, y)) %*% gradient) / n)
  keep(name("skill"), 1 - ratio)
  interval("skill", 1 - exp(log(ratio) + c(t, -t) * error / ratio))

  # Logistic recalibration.
  large <- glm(y ~ 1 + offset(x), family = binomial, control = tight)
  both <- glm(y ~ x, family = binomial, control = tight)
  for (part in list(list("large", large, 1), list("intercept", both, 1), list("slope", both, 2))) {
    keep(name(part[[1]]), coef(part[[2]])[part[[3]]])
    interval(part[[1]], confint.default(part[[2]])[part[[3]], ])
    # The sandwich, as sandwich::vcovCL(type = "HC1") has it, with each case a cluster and with patients.
    design <- model.matrix(part[[2]])
    scores <- design * residuals(part[[2]], type = "response")
    k <- ncol(design)
    for (clusters in list(seq_len(n), cases$patient)) {
      sums <- rowsum(scores, clusters)
      g <- nrow(sums)
      bread <- vcov(part[[2]])
      error <- sqrt((bread %*% crossprod(sums) %*% bread * g / (g - 1) * (n - 1) / (n - k))[part[[3]], part[[3]]])
      ends <- coef(part[[2]])[part[[3]]] + c(-z, z) * error
      interval(paste0(part[[1]], if (g < n) "_patients" else "_sandwich"), ends)
    }
  }
  keep(name("spiegelhalter_z"), sum((y - p) * (1 - 2 * p)) / sqrt(sum((1 - 2 * p)^2 * p * (1 - p))))

  # Smooth curve: ns() spans the same natural cubic splines as Harrell's basis.
  places <- list(c(0.1, 0.5, 0.9), c(0.05, 0.35, 0.65, 0.95), c(0.05, 0.275, 0.5, 0.725, 0.95))
  for (knots in places) {
    at <- quantile(x, knots)
    k <- length(knots)
    basis <- function(v) ns(v, knots = at[2:(k - 1)], Boundary.knots = at[c(1, k)])
    fit <- glm(y ~ basis(x), family = binomial, control = tight)
    inside <- fitted(fit)
    for (g in c(0.05, 0.3, 0.6, 0.95)) {
      row <- c(1, basis(qlogis(g)))
      linear <- sum(row * coef(fit))
      error <- sqrt(drop(row %*% vcov(fit) %*% row))
      keep(name(sprintf("smooth%d_%.2f", k, g)), plogis(linear))
      interval(sprintf("smooth%d_%.2f", k, g), plogis(linear + c(-z, z) * error))
    }
    keep(name(sprintf("ici%d", k)), mean(abs(inside - p)))
    keep(name(sprintf("e50%d", k)), median(abs(inside - p)))
    keep(name(sprintf("e90%d", k)), quantile(abs(inside - p), 0.9))
  }

  # Calibration error over ten bins of equal width (right-closed, as cut() makes them).
  bin <- droplevels(cut(p, seq(0, 1, 0.1), include.lowest = TRUE))
  count <- tapply(p, bin, length)
  distance <- tapply(y - p, bin, mean)
  keep(name("ece"), sum(count * abs(distance)) / n)
  keep(name("squared"), sum(count * distance^2) / n)
  keep(name("squared_debiased"), sum(count * (distance^2 - tapply(y - p, bin, var) / count)) / n)
  keep(name("reliability"), sum(count * distance^2) / n)
  keep(name("resolution"), sum(count * (tapply(y, bin, mean) - share)^2) / n)

  # Recalibration.
  keep(name("platt_slope"), coef(both)[2])
  positives <- sum(y)
  soft <- ifelse(y == 1, (positives + 1) / (positives + 2), 1 / (n - positives + 2))
  smooth <- suppressWarnings(glm(soft ~ p, family = binomial, control = tight))
  keep(name("platt_smooth_intercept"), coef(smooth)[1])
  keep(name("platt_smooth_slope"), coef(smooth)[2])
  keep(name("temperature"), 1 / coef(glm(y ~ 0 + x, family = binomial, control = tight)))
  # isoreg does not join equal scores; their means go in, weighed by repeating them in order.
  level <- ave(y, p)
  iso <- isoreg(order(order(p)), level)
  for (i in c(1, 40, 200, 301)) keep(name(sprintf("isotonic_%d", i)), iso$yf[i])

  # Conformal: the ceil((n + 1)(1 - alpha))-th smallest 1 - probability of the truth.
  own <- ifelse(y == 1, 1 - p, 1 - (1 - p))
  for (alpha in c(0.05, 0.1, 0.3)) keep(name(sprintf("conformal_%.2f", alpha)), sort(own)[ceiling((n + 1) * (1 - alpha))])
}

# Decision curves: the figures from the cells of a table; their intervals from the same after adding four cases.
four <- data.frame(expand.grid(y = 0:1, a = 0:1), w = 1)
eight <- data.frame(expand.grid(y = 0:1, a = 0:1, b = 0:1), w = 0.5)
spread <- function(v, w) {  # standard error of a weighted mean of n cases and the added ones
  m <- sum(v * w) / sum(w)
  sqrt(sum(w * (v - m)^2) / sum(w)^2 * sum(w) / (sum(w) - 1))
}
for (cut in c(0.1, 0.25, 0.5)) {
  w <- cut / (1 - cut)
  gain <- function(y) ifelse(y == 1, 1, -w)
  for (model in c("sure", "blurred")) {
    p <- cases[[model]]
    name <- function(quantity) sprintf("%s_%.2f.%s", quantity, cut, model)
    raw <- data.frame(y = y, a = as.numeric(p >= cut), w = 1)
    tp <- mean(raw$a == 1 & y == 1)
    fp <- mean(raw$a == 1 & y == 0)
    keep(name("net_benefit"), tp - w * fp)
    keep(name("standardized"), (tp - w * fp) / mean(y))
    keep(name("avoided"), (tp - w * fp - (mean(y) - w * mean(1 - y))) / w)
    sensitivity <- tp / mean(y)
    alarms <- fp / mean(1 - y)
    keep(name("shifted"), 0.1 * sensitivity - 0.9 * w * alarms)
    more <- rbind(raw, four)
    worth <- gain(more$y) * more$a
    keep(name("net_benefit_low"), mean(worth) - z * spread(worth, more$w))
    ratio <- mean(worth) / mean(more$y)
    keep(name("standardized_low"), ratio - z * spread(worth - ratio * more$y, more$w) / mean(more$y))
    avoided <- -gain(more$y) * (1 - more$a) / w
    keep(name("avoided_high"), mean(avoided) + z * spread(avoided, more$w))
    # With a known prevalence, Agresti and Caffo: two proportions, each with one more success and one more failure.
    sensitivity <- (sum(raw$a[y == 1]) + 1) / (sum(y) + 2)
    alarms <- (sum(raw$a[y == 0]) + 1) / (sum(1 - y) + 2)
    error <- sqrt(0.1^2 * sensitivity * (1 - sensitivity) / (sum(y) + 2) +
                    (0.9 * w)^2 * alarms * (1 - alarms) / (sum(1 - y) + 2))
    keep(name("shifted_low"), 0.1 * sensitivity - 0.9 * w * alarms - z * error * sqrt((n + 4) / (n + 3)))
  }
  raw <- data.frame(y = y, a = as.numeric(cases$sure >= cut), b = as.numeric(cases$blurred >= cut), w = 1)
  keep(sprintf("difference_%.2f", cut), mean(gain(y) * (raw$a - raw$b)))
  more <- rbind(raw, eight)
  d <- gain(more$y) * (more$a - more$b)
  middle <- sum(d * more$w) / sum(more$w)
  keep(sprintf("difference_z_%.2f", cut), middle / spread(d, more$w))
  keep(sprintf("difference_low_%.2f", cut), middle - z * spread(d, more$w))
  keep(sprintf("treat_all_%.2f", cut), mean(y) - w * mean(1 - y))
}

lines <- sprintf("%s,%.17g", names(values), unlist(values))
writeLines(c("quantity,value", lines), arguments[2])
