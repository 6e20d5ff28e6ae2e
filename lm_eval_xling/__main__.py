"""``python -m lm_eval_xling``: the ``xling`` command, for launchers such as ``accelerate launch -m``."""

from lm_eval_xling._cli import main

if __name__ == "__main__":
    main()
