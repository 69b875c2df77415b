"""`python -m dgccl` is `dgccl`."""

from dgccl.cli import main

main()
