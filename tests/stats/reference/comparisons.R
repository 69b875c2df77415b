# Reference values for the comparisons and the planning of dgccl.stats: R's pROC and stats, and Obuchowski's (1997)
# and Tango's (1998) equations written out directly.
#
# Usage: Rscript comparisons.R cases.csv OUT.csv
# Writes one line a value: quantity,value. The test reads the stored file, and runs this script again where
# Rscript and pROC are installed (Debian: r-base-core, r-cran-proc).

suppressPackageStartupMessages(library(pROC))
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
values <- list()
keep <- function(name, value) values[[name]] <<- as.numeric(value)

# Cohort a are the first 70 cases, cohort b the other 61. Patients have 1, 2, 3, 4, 1, 2, ... cases in turn.
in_a <- seq_len(nrow(cases)) <= 70
patient <- rep(1:53, times = rep_len(1:4, 53))[seq_len(nrow(cases))]
scores <- c("first", "second", "ordinal")

# --- Two cohorts, DeLong and Welch, as pROC has it
curve <- function(score, chosen) {
  roc(cases$y_true[chosen], cases[[score]][chosen], levels = c(0, 1), direction = "<", quiet = TRUE)
}
for (a in scores) for (b in scores) {
  test <- roc.test(curve(a, in_a), curve(b, !in_a), method = "delong", paired = FALSE)
  pair <- paste(a, b, sep = ".")
  difference <- as.numeric(test$estimate[1] - test$estimate[2])
  half <- qt(0.975, test$parameter) * difference / test$statistic
  keep(paste0("unpaired_t.", pair), test$statistic)
  keep(paste0("unpaired_df.", pair), test$parameter)
  keep(paste0("unpaired_p.", pair), test$p.value)
  keep(paste0("unpaired_low.", pair), difference - half)
  keep(paste0("unpaired_high.", pair), difference + half)
}

# --- Clusters: the covariance of two areas from the whole matrix of wins, one cluster after the other
covariance <- function(y, one, two, cluster) {
  share <- function(score) {
    wins <- outer(score[y == 1], score[y == 0], function(p, q) (p > q) + 0.5 * (p == q))
    list(area = mean(wins), positive = rowMeans(wins), negative = colMeans(wins))
  }
  first <- share(one)
  second <- share(two)
  positives <- sum(y == 1)
  negatives <- sum(y == 0)
  own_positive <- own_negative <- cross <- crossed <- 0
  for (id in unique(cluster)) {
    p <- cluster[y == 1] == id
    q <- cluster[y == 0] == id
    p1 <- sum(first$positive[p]) - sum(p) * first$area
    p2 <- sum(second$positive[p]) - sum(p) * second$area
    q1 <- sum(first$negative[q]) - sum(q) * first$area
    q2 <- sum(second$negative[q]) - sum(q) * second$area
    own_positive <- own_positive + p1 * p2
    own_negative <- own_negative + q1 * q2
    cross <- cross + p1 * q2
    crossed <- crossed + p2 * q1
  }
  with_positive <- length(unique(cluster[y == 1]))
  with_negative <- length(unique(cluster[y == 0]))
  all <- length(unique(cluster))
  s10 <- with_positive / ((with_positive - 1) * positives) * own_positive
  s01 <- with_negative / ((with_negative - 1) * negatives) * own_negative
  s11 <- all / (all - 1) * cross
  s11_turned <- all / (all - 1) * crossed
  s10 / positives + s01 / negatives + (s11 + s11_turned) / (positives * negatives)
}
for (a in scores) {
  keep(paste0("clustered_variance.", a), covariance(cases$y_true, cases[[a]], cases[[a]], patient))
  for (b in scores) if (a < b) {
    keep(
      paste("clustered_difference_variance", a, b, sep = "."),
      covariance(cases$y_true, cases[[a]], cases[[a]], patient) +
        covariance(cases$y_true, cases[[b]], cases[[b]], patient) -
        2 * covariance(cases$y_true, cases[[a]], cases[[b]], patient)
    )
  }
}
for (a in scores) for (b in scores) {
  part <- function(score, chosen) {
    y <- cases$y_true[chosen]
    x <- cases[[score]][chosen]
    id <- patient[chosen] + 100 * !chosen[1]
    c(as.numeric(auc(curve(score, chosen))), covariance(y, x, x, id), length(unique(id)))
  }
  one <- part(a, in_a)
  two <- part(b, !in_a)
  t <- (one[1] - two[1]) / sqrt(one[2] + two[2])
  df <- (one[2] + two[2])^2 / (one[2]^2 / (one[3] - 1) + two[2]^2 / (two[3] - 1))
  pair <- paste(a, b, sep = ".")
  keep(paste0("clustered_unpaired_t.", pair), t)
  keep(paste0("clustered_unpaired_df.", pair), df)
  keep(paste0("clustered_unpaired_p.", pair), 2 * pt(-abs(t), df))
}

# --- McNemar: b, c, all cases
for (counts in list(c(32, 28, 650), c(1, 7, 21), c(12, 2, 50), c(5, 5, 40), c(0, 6, 30), c(40, 20, 160))) {
  b <- counts[1]
  c <- counts[2]
  n <- counts[3]
  name <- paste(counts, collapse = ".")
  keep(paste0("mcnemar_p.", name), binom.test(b, b + c)$p.value)
  chances <- dbinom(0:(b + c), b + c, 0.5)
  away <- abs(0:(b + c) - (b + c) / 2)
  here <- abs(b - (b + c) / 2)
  keep(paste0("mcnemar_mid_p.", name), sum(chances[away > here]) + sum(chances[away == here]) / 2)
  # The share of c that is likeliest under a difference, from the slope of the likelihood, and the score test with it
  score <- function(delta) {
    slope <- function(q) ifelse(b > 0, b / (q + delta), 0) + ifelse(c > 0, c / q, 0) - 2 * (n - b - c) / (1 - 2 * q - delta)
    ends <- c(max(0, -delta), (1 - delta) / 2)
    ends <- ends + c(1, -1) * 1e-11 * diff(ends)
    q <- if (slope(ends[1]) <= 0) ends[1] else uniroot(slope, ends, tol = 1e-16)$root
    ((b - c) / n - delta) / sqrt((2 * q + delta - delta^2) / n)
  }
  z <- qnorm(0.975)
  observed <- (b - c) / n
  keep(paste0("tango_low.", name), uniroot(function(d) score(d) - z, c(-0.99, observed), tol = 1e-13)$root)
  keep(paste0("tango_high.", name), uniroot(function(d) score(d) + z, c(observed, 0.99), tol = 1e-13)$root)
}

# --- Folds
fold_a <- c(0.907, 0.919, 0.923, 0.915, 0.918)
fold_b <- c(0.879, 0.882, 0.891, 0.883, 0.890)
plain <- t.test(fold_a, fold_b, paired = TRUE)
keep("fold_t", plain$statistic)
keep("fold_df", plain$parameter)
keep("fold_p", plain$p.value)
keep("fold_low", plain$conf.int[1])
keep("fold_high", plain$conf.int[2])
for (ratio in c(1 / 4, 1 / 9)) {
  # Nadeau and Bengio: the plain statistic with its 1 / folds replaced
  t <- as.numeric(plain$statistic) * sqrt((1 / 5) / (1 / 5 + ratio))
  keep(sprintf("corrected_t.%.3f", ratio), t)
  keep(sprintf("corrected_p.%.3f", ratio), 2 * pt(-abs(t), 4))
  keep(sprintf("corrected_low.%.3f", ratio), mean(fold_a - fold_b) * (1 - qt(0.975, 4) / t))
}
for (margin in c(0.01, 0.03, 0.04)) {
  worse <- t.test(fold_b, fold_a, paired = TRUE, mu = -margin, alternative = "greater")$p.value
  better <- t.test(fold_b, fold_a, paired = TRUE, mu = margin, alternative = "less")$p.value
  keep(sprintf("non_inferiority_p.%.2f", margin), worse)
  keep(sprintf("tost_p.%.2f", margin), max(worse, better))
}

# --- False discovery
p <- c(0.011, 0.04, 0.0007, 0.04, 0.6, 0.012, 1, 0)
for (i in seq_along(p)) {
  keep(sprintf("bh.%d", i), p.adjust(p, "BH")[i])
  keep(sprintf("by.%d", i), p.adjust(p, "BY")[i])
}

# --- Planning
for (area in c(0.55, 0.7, 0.8, 0.9, 0.95)) for (ratio in c(0.5, 1, 3)) for (side in c("one.sided", "two.sided")) {
  name <- sprintf("%.2f.%.1f.%s", area, ratio, side)
  plan <- power.roc.test(auc = area, kappa = ratio, power = 0.9, sig.level = 0.05, alternative = side)
  keep(paste0("cases.", name), plan$ncases)
  found <- power.roc.test(auc = area, ncases = 40, ncontrols = 40 * ratio, sig.level = 0.05, alternative = side)
  keep(paste0("power.", name), found$power)
}
for (areas in list(c(0.8, 0.9), c(0.85, 0.8), c(0.75, 0.7))) for (ratio in c(0.5, 1, 3)) {
  for (correlations in list(c(0.3, 0.6), c(0.5, 0.5), c(0, 0))) {
    name <- paste(sprintf("%.2f", areas[1]), sprintf("%.2f", areas[2]), ratio, correlations[1], correlations[2], sep = "_")
    model <- list(
      A1 = sqrt(2) * qnorm(areas[1]), B1 = 1, A2 = sqrt(2) * qnorm(areas[2]), B2 = 1,
      ra = correlations[1], rn = correlations[2], delta = areas[1] - areas[2]
    )
    plan <- power.roc.test(model, kappa = ratio, power = 0.8, sig.level = 0.05, alternative = "two.sided")
    keep(paste0("paired_cases.", name), plan$ncases)
    found <- power.roc.test(
      model, ncases = 100, ncontrols = 100 * ratio, sig.level = 0.05, alternative = "one.sided"
    )
    keep(paste0("paired_power.", name), found$power)
  }
}

lines <- sprintf("%s,%.17g", names(values), unlist(values))
writeLines(c("quantity,value", lines), arguments[2])
